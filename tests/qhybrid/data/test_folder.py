import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.data.load import load_dataset
from qhybrid_circuits.errors import RequestError, UnknownNameError


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _gray(value: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def _refusal(folder: Path) -> str:
    with pytest.raises(RequestError) as caught:
        load_dataset(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_grayscale_folder(tmp_path: Path) -> None:
    _save(tmp_path / "cat/a.png", _gray(10))
    _save(tmp_path / "dog/b.png", _gray(20))
    _save(tmp_path / "dog/c.png", _gray(30))
    (tmp_path / "dog/notes.txt").write_text("not an image")
    dataset = load_dataset(tmp_path)
    assert (dataset.channels, dataset.image_size) == (1, 8)
    assert dataset.class_names == {0: "cat", 1: "dog"}
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert load_dataset(tmp_path, classes=["DOG"]).labels.tolist() == [1, 1]
    assert load_dataset(tmp_path, classes="0").class_names == {0: "cat"}
    with pytest.raises(UnknownNameError, match="known: cat, dog; or their numbers 0, 1"):
        load_dataset(tmp_path, classes="bird")


def test_one_colour_image_makes_all_rgb(tmp_path: Path) -> None:
    _save(tmp_path / "a/gray.png", _gray(77))
    _save(tmp_path / "a/rgb.png", np.broadcast_to(np.uint8([1, 2, 3]), (8, 8, 3)).copy())
    dataset = load_dataset(tmp_path)
    assert dataset.images[:, 4, 4].tolist() == [[77, 77, 77], [1, 2, 3]]


def test_numeric_folder_names_are_names(tmp_path: Path) -> None:
    _save(tmp_path / "3/a.png", _gray(3))
    _save(tmp_path / "7/b.png", _gray(7))
    assert load_dataset(tmp_path, classes="7").images.unique().tolist() == [7]
    with pytest.raises(UnknownNameError):
        load_dataset(tmp_path, classes="0")


def test_differing_sizes_need_a_size(tmp_path: Path) -> None:
    _save(tmp_path / "a/x.png", _gray(1))
    _save(tmp_path / "a/y.png", _gray(2, 100, 100))
    message = _refusal(tmp_path)
    assert "y.png" in message
    assert "--set data.image_size=N" in message
    assert load_dataset(tmp_path, image_size=16).images.shape == (2, 16, 16, 1)


def test_not_square_names_the_file(tmp_path: Path) -> None:
    _save(tmp_path / "a/wide.png", _gray(1, 8, 12))
    assert "12x8" in _refusal(tmp_path)
    with pytest.raises(RequestError, match=r"wide\.png"):
        load_dataset(tmp_path, image_size=8)


def test_images_without_classes(tmp_path: Path) -> None:
    assert "has no images in it" in _refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "no images in it or in its class folders (cat)" in _refusal(tmp_path)
    _save(tmp_path / "b.png", _gray(20))
    _save(tmp_path / "a.png", _gray(10))
    dataset = load_dataset(tmp_path)
    assert dataset.images[:, 0, 0, 0].tolist() == [10, 20]
    assert dataset.class_names == {0: "all"}
    assert "no class folders" in dataset.notes[0]
    _save(tmp_path / "cat/c.png", _gray(30))
    dataset = load_dataset(tmp_path)
    assert (len(dataset), dataset.class_names) == (1, {0: "cat"})
    assert "2 images beside the class folders are left out" in dataset.notes[0]


def test_folder_of_splits(tmp_path: Path) -> None:
    _save(tmp_path / "train/cat/a.png", _gray(1))
    _save(tmp_path / "train/dog/a.png", _gray(2))
    _save(tmp_path / "test/cat/a.png", _gray(3))
    (tmp_path / ".thumbnails").mkdir()
    assert load_dataset(tmp_path).class_names == {0: "cat", 1: "dog"}
    assert load_dataset(tmp_path, split="test").images.unique().tolist() == [3]
    with pytest.raises(UnknownNameError, match="known: train, test"):
        load_dataset(tmp_path, split="val")
    assert load_dataset(tmp_path / "train").class_names == {0: "cat", 1: "dog"}
    with pytest.raises(RequestError, match="no 'test' split"):
        load_dataset(tmp_path / "train", split="test")
    # With a folder of another name beside them they are classes: trains, and buses.
    _save(tmp_path / "bus/a.png", _gray(4))
    names = load_dataset(tmp_path).class_names.values()
    assert list(names) == ["bus", "test", "train"]


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    _save(tmp_path / "a/good.png", _gray(1, 64, 64))
    whole = (tmp_path / "a/good.png").read_bytes()
    for contents in (b"", b"no image at all", whole[: len(whole) // 2]):
        (tmp_path / "a/bad.png").write_bytes(contents)
        message = _refusal(tmp_path)
        assert "bad.png" in message
        assert "cannot be read" in message


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    _save(tmp_path / "a/deep.png", levels)
    dataset = load_dataset(tmp_path)
    assert np.array_equal(dataset.images[0, ..., 0].numpy(), np.rint(levels / 65535 * 255))
    assert "16 bits per channel are scaled to 8 (1 of 1 images)" in dataset.notes[0]
    Image.fromarray(levels.astype(np.float32)).save(tmp_path / "a/deep.tiff")
    assert "F pixels" in _refusal(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.arange(64, dtype=np.uint8).reshape(8, 8)
    # EXIF 2.3, tag 0x0112: where row 0 and column 0 of what is stored lie in what is seen.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a/photo.png", exif=exif)
    dataset = load_dataset(tmp_path)
    assert np.array_equal(dataset.images[0, ..., 0].numpy(), upright)
    assert bool(dataset.notes) == (orientation != 1)


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), 40, np.uint8)
    pixels[..., 3] = 255
    pixels[0, 0, 3], pixels[0, 1, 3] = 0, 51
    _save(tmp_path / "a/icon.png", pixels)
    dataset = load_dataset(tmp_path)
    assert dataset.channels == 1
    # Over white with alpha 51/255 = 0.2: 0.2 * 40 + 0.8 * 255 = 212.
    assert dataset.images[0, 0, :3, 0].tolist() == [255, 212, 40]
    assert any("shown on white" in note for note in dataset.notes)


def test_colour_files_of_grey_images_are_grey(tmp_path: Path) -> None:
    _save(tmp_path / "a/x.png", np.repeat(_gray(9)[..., np.newaxis], 3, axis=2))
    opaque = np.concatenate([np.full((8, 8, 3), 7, np.uint8), np.full((8, 8, 1), 255, np.uint8)], 2)
    _save(tmp_path / "a/y.png", opaque)
    dataset = load_dataset(tmp_path)
    assert dataset.images[:, 0, 0].tolist() == [[9], [7]]
    assert "only grey are read as grey (2 of 2 images)" in dataset.notes[0]
    assert load_dataset(tmp_path, channels=3).images[:, 0, 0].tolist() == [[9] * 3, [7] * 3]
    _save(tmp_path / "a/z.png", np.broadcast_to(np.uint8([1, 2, 3]), (8, 8, 3)).copy())
    assert load_dataset(tmp_path).channels == 3
    assert load_dataset(tmp_path).notes == ()


def test_photos_become_the_largest_size(tmp_path: Path) -> None:
    for name in ("x", "y"):
        _save(tmp_path / f"a/{name}.png", _gray(200, 100, 100))
    dataset = load_dataset(tmp_path)
    assert (dataset.image_size, dataset.images.unique().tolist()) == (32, [200])
    assert "100x100 pixels are resized to 32x32" in dataset.notes[0]
    _save(tmp_path / "a/z.png", _gray(200, 64, 64))
    assert "'" + str(tmp_path / "a/z.png") + "' is 64x64" in _refusal(tmp_path)


def test_images_larger_than_the_memory_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    Image.new("1", (4000, 4000)).save(tmp_path / "a/large.png")
    monkeypatch.setattr("qhybrid.memory.available_bytes", lambda: 10**8)
    assert "large.png' of 4000x4000 pixels would take about 0.2 GB" in _refusal(tmp_path)


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    _save(tmp_path / "cat/a.png", _gray(10))
    _save(tmp_path / ".cache/a.png", _gray(10))
    (tmp_path / "cat/._a.png").write_bytes(b"not an image")
    (tmp_path / "__MACOSX/cat").mkdir(parents=True)
    (tmp_path / "__MACOSX/cat/._a.png").write_bytes(b"not an image")
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 1
    assert list(dataset.class_names.values()) == ["cat"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    _save(tmp_path / "cat/a.png", _gray(10))
    os.mkfifo(tmp_path / "cat/b.png")
    assert "b.png' is not a regular file" in _refusal(tmp_path)


@pytest.mark.filterwarnings("error")
def test_odd_images_are_read_without_a_warning(tmp_path: Path) -> None:
    transparent = Image.new("P", (8, 8))
    (tmp_path / "cat").mkdir()
    transparent.save(tmp_path / "cat/a.png", transparency=bytes(range(256)))
    assert load_dataset(tmp_path).images.unique().tolist() == [255]
