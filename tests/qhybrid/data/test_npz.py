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
    assert "lacks test_images and test_labels; it holds train_images, train_labels" in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_labels": None}, "lacks train_labels"),
        ({"train_images": np.zeros((6, 28, 28), np.float32)}, "uint8"),
        ({"train_images": np.zeros((6, 784), np.uint8)}, r"(N, H, W) or (N, H, W, 3)"),
        ({"train_images": np.zeros((6, 28, 28, 4), np.uint8)}, r"(N, H, W) or (N, H, W, 3)"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8)}, "empty"),
        ({"train_images": np.zeros((5, 28, 28), np.uint8)}, "6 for 5 images"),
        ({"train_images": np.zeros((6, 28, 20), np.uint8)}, "crop"),
        ({"train_images": np.zeros((6, 20, 20), np.uint8)}, "--set data.image_size=N"),
        ({"train_labels": np.zeros((6, 14), np.uint8)}, "one class per image"),
        ({"train_labels": np.zeros(6, np.float64)}, "integers"),
        ({"train_labels": np.array(list("abcdef"), dtype=object)}, "allow_pickle=False"),
    ],
)
def test_wrong_contents(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in _message(_write(tmp_path / "data.npz", **changes))


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


def _header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"junk", "not a numpy array"),
        (_header("(900000000000, 28, 28)"), "does not fit into the memory"),
        (_header("(-1, 28, 28)"), "cannot be read"),
    ],
)
def test_an_archive_of_something_else(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_images.npy", content)
        archive.writestr("train_labels.npy", content)
    assert expected in _message(path)


def test_no_one_is_told_to_load_pickles(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(b"hello")
    message = _message(path)
    assert "does not begin like one" in message
    assert "pickle" not in message
