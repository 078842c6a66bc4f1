import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qhybrid.data.load import load_dataset
from qhybrid_circuits.errors import RequestError, UnknownNameError

_RNG = np.random.default_rng(5)


def _arrays(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "train_images": _RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "train_labels": np.array([[0], [5], [5], [9], [0], [5]], dtype=np.uint8),
        "test_images": _RNG.integers(0, 256, (2, 28, 28), dtype=np.uint8),
        "test_labels": np.array([[5], [9]], dtype=np.uint8),
    }
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}


def _write(path: Path, **changes: Any) -> Path:
    np.savez_compressed(path, **_arrays(**changes))
    return path


def _message(path: Path, **options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        load_dataset(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_both_splits_are_read(tmp_path: Path) -> None:
    arrays = _arrays()
    np.savez(tmp_path / "data.npz", **arrays)
    for split in ("train", "test"):
        dataset = load_dataset(tmp_path / "data.npz", split=split)
        assert np.array_equal(dataset.images[..., 0].numpy(), arrays[f"{split}_images"])
        assert dataset.labels.tolist() == arrays[f"{split}_labels"][:, 0].tolist()
    assert load_dataset(tmp_path / "data.npz").class_names == {0: "0", 5: "5", 9: "9"}


def test_rgb_flat_labels_and_classes(tmp_path: Path) -> None:
    images = _RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    path = _write(tmp_path / "rgb.npz", train_images=images, train_labels=np.array([4, 2, 4]))
    dataset = load_dataset(path, classes="4")
    assert (len(dataset), dataset.channels) == (2, 3)
    assert np.array_equal(dataset.images.numpy(), images[[0, 2]])
    with pytest.raises(UnknownNameError, match="known: 2, 4"):
        load_dataset(path, classes="3")


def test_only_the_split_that_is_read_is_needed(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.npz", test_images=None, test_labels=None)
    assert len(load_dataset(path)) == 6
    message = _message(path, split="test")
    assert "lacks test_images; it holds train_images, train_labels" in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_images": None}, "lacks train_images"),
        # Scales that may mean more than one thing: of networks, of ink, of darkness.
        ({"train_images": np.linspace(-1, 1, 6 * 784).reshape(6, 28, 28)}, "from -1 to 1"),
        ({"train_images": np.full((6, 28, 28), 16)}, "int64 from 16 to 16"),
        ({"train_images": np.full((6, 28, 28), 254.5)}, "uint8"),
        ({"train_images": np.full((6, 28, 28), 256)}, "uint8"),
        ({"train_images": np.full((6, 28, 28), np.nan)}, "uint8"),
        ({"train_images": np.zeros((6, 28, 28), complex)}, "complex128"),
        ({"train_images": np.zeros((6, 784), np.uint8)}, "(N, H, W), (N, H, W, 3) or"),
        ({"train_images": np.zeros((6, 28, 28, 4), np.uint8)}, "(N, H, W), (N, H, W, 3) or"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8)}, "empty"),
        ({"train_images": np.zeros((5, 28, 28), np.uint8)}, "6 for 5 images"),
        ({"train_images": np.zeros((6, 28, 20), np.uint8)}, "crop"),
        ({"train_images": np.zeros((6, 20, 20), np.uint8)}, "--set data.image_size=N"),
        ({"train_labels": np.zeros((6, 14), np.uint8)}, "one class per image"),
        ({"train_labels": np.full((6, 3), 1)}, "one-hot rows"),
        ({"train_labels": np.full(6, 0.5)}, "whole numbers or text"),
        ({"train_labels": np.full(6, np.inf)}, "whole numbers or text"),
        ({"train_labels": np.full(6, 1e300)}, "whole numbers or text"),
        ({"train_labels": np.array(list("abcdef"), dtype=object)}, "allow_pickle=False"),
    ],
)
def test_wrong_contents(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in _message(_write(tmp_path / "data.npz", **changes))


_GREY = _RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8)
_GREY[0, 0, :2] = 0, 255
_COLOUR = _RNG.integers(0, 256, (6, 28, 28, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("given", "expected", "note"),
    [
        (_GREY / 255, _GREY, "float64 from 0 to 1"),
        ((_GREY / 255).astype(np.float16), None, "float16 from 0 to 1"),
        (_GREY.astype(np.int64), _GREY, "int64 from 0 to 255"),
        (_GREY.astype(">u2"), _GREY, "uint16 from 0 to 255"),
        (_GREY.astype(np.float32), _GREY, "float32 from 0 to 255"),
        (_GREY > 99, np.where(_GREY > 99, 255, 0), "true is read as white"),
        (_GREY[:, np.newaxis], _GREY, ""),
        (_GREY[..., np.newaxis], _GREY, ""),
        (_COLOUR.transpose(0, 3, 1, 2), _COLOUR, ""),
        (np.asfortranarray(_COLOUR), _COLOUR, ""),
    ],
)
def test_images_as_people_have_them(
    tmp_path: Path, given: np.ndarray, expected: np.ndarray | None, note: str
) -> None:
    dataset = load_dataset(_write(tmp_path / "data.npz", train_images=given))
    pixels = dataset.images.numpy().astype(int).reshape(given.shape[0], 28, 28, -1)
    wanted = np.rint(given * 255.0) if expected is None else expected
    assert np.abs(pixels - wanted.reshape(pixels.shape)).max() == 0
    assert [n for n in dataset.notes if note and note in n] == list(dataset.notes)


@pytest.mark.parametrize(
    ("labels", "ids", "names"),
    [
        (np.eye(4)[[3, 0, 1, 1, 0, 3]], [3, 0, 1, 1, 0, 3], ["0", "1", "3"]),
        (np.eye(2, dtype=bool)[[1, 0, 1, 1, 0, 0]], [1, 0, 1, 1, 0, 0], ["0", "1"]),
        (np.array([2.0, 1, 1, 2, 2, 1]), [2, 1, 1, 2, 2, 1], ["1", "2"]),
        (np.array([True, False] * 3), [1, 0] * 3, ["0", "1"]),
        (np.array(["dog", "cat"] * 3), [1, 0] * 3, ["cat", "dog"]),
        (np.array([[b"dog"], [b"cat"]] * 3), [1, 0] * 3, ["cat", "dog"]),
        (None, [0] * 6, ["all"]),
    ],
)
def test_labels_as_people_have_them(
    tmp_path: Path, labels: np.ndarray | None, ids: list[int], names: list[str]
) -> None:
    dataset = load_dataset(_write(tmp_path / "data.npz", train_labels=labels))
    assert dataset.labels.tolist() == ids
    assert list(dataset.class_names.values()) == names
    assert load_dataset(tmp_path / "data.npz", classes=names[-1]).labels.unique().numel() == 1


def test_the_layout_of_keras(tmp_path: Path) -> None:
    arrays = {"x_train": _COLOUR, "y_train": np.arange(6), "x_test": _GREY, "y_test": np.arange(6)}
    np.savez(tmp_path / "keras.npz", **arrays)
    assert np.array_equal(load_dataset(tmp_path / "keras.npz").images.numpy(), _COLOUR)
    test = load_dataset(tmp_path / "keras.npz", split="test")
    assert np.array_equal(test.images[..., 0].numpy(), _GREY)
    assert test.labels.tolist() == list(range(6))
    assert "lacks val_images; it holds x_train" in _message(tmp_path / "keras.npz", split="val")


def test_larger_images_become_the_largest_that_models_take(tmp_path: Path) -> None:
    from PIL import Image

    images = np.kron(_RNG.integers(0, 256, (6, 8, 8), dtype=np.uint8), np.ones((8, 8), np.uint8))
    dataset = load_dataset(_write(tmp_path / "large.npz", train_images=images))
    (note,) = dataset.notes
    assert "64x64 pixels are resized to 32x32" in note
    by_pillow = [
        Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC) for image in images
    ]
    difference = np.abs(dataset.images[..., 0].numpy() - np.array(by_pillow).astype(int))
    assert difference.max() <= 1
    assert load_dataset(tmp_path / "large.npz", image_size=32).notes == ()


def test_grey_images_become_rgb_on_request(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path / "data.npz", train_images=_GREY), channels=3)
    assert np.array_equal(dataset.images.numpy(), np.repeat(_GREY[..., np.newaxis], 3, axis=3))


def test_native_size_can_be_changed(tmp_path: Path) -> None:
    images = np.full((6, 64, 64), 200, np.uint8)
    path = _write(tmp_path / "large.npz", train_images=images)
    dataset = load_dataset(path, image_size=32)
    assert dataset.image_size == 32
    assert dataset.images.unique().tolist() == [200]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_file(tmp_path: Path, share: float) -> None:
    whole = _write(tmp_path / "data.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert "cannot be read as an npz file" in _message(cut)


def test_damaged_member(tmp_path: Path) -> None:
    path = _write(tmp_path / "data.npz")
    damaged = bytearray(path.read_bytes())
    damaged[500:1500] = bytes(1000)
    path.write_bytes(bytes(damaged))
    assert "cannot be read as an npz file" in _message(path)


def test_not_an_archive(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("hello, I am not an archive")
    assert "cannot be read as an npz file" in _message(text)
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "single array" in _message(single)


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean train"):
        load_dataset(_write(tmp_path / "data.npz"), split="trian")


def _header(shape: str, text: str = "") -> bytes:
    text = text or f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"junk", "not a numpy array"),
        (_header("(900000000000, 28, 28)"), "GB of memory"),
        (_header("(99999999999999999999999, 8, 8)"), "GB of memory"),
        (_header("(-1, 28, 28)"), "cannot be read"),
        (_header("(3, 8, 8)"), "not as long as its header says"),
        (_header("(3, 8, 8)") + bytes(193), "not as long as its header says"),
        (_header("", "{'descr': '|u1' 'fortran_order': False"), "cannot be read"),
        (_header("", "[["), "cannot be read"),
        (_header("", "(" * 110), "cannot be read"),
        (_header("", "{'descr': '|V9', 'fortran_order': 3, 'shape': 'abc'}"), "cannot be read"),
        (_header("(1)")[:30], "cannot be read"),
        (b"\x93NUMPY", "cannot be read"),
        (b"", "not a numpy array"),
    ],
)
def test_an_archive_of_something_else(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_images.npy", content)
        archive.writestr("train_labels.npy", content)
    assert expected in _message(path)


@pytest.mark.parametrize(("local", "central", "value"), [(6, 8, 1), (8, 10, 99)])
def test_an_encrypted_or_unknown_member(
    tmp_path: Path, local: int, central: int, value: int
) -> None:
    """Offsets of the flags (1: encrypted) and the method of a member in a zip file's headers."""
    odd = bytearray(_write(tmp_path / "odd.npz").read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        place = odd.find(signature)
        while place >= 0:
            odd[place + offset] = value
            place = odd.find(signature, place + 1)
    (tmp_path / "odd.npz").write_bytes(odd)
    assert "cannot be read as an npz file" in _message(tmp_path / "odd.npz")


def test_an_archive_that_unpacks_to_more_than_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, train_images=np.zeros((50_000, 28, 28), np.uint8))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("qhybrid.memory.available_bytes", lambda: 10**8)
    assert "0.1 GB of memory, of which 0.1 GB are free" in _message(path)


def test_no_one_is_told_to_load_pickles(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(b"hello")
    message = _message(path)
    assert "does not begin like one" in message
    assert "pickle" not in message
