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


def test_no_classes_or_no_images(tmp_path: Path) -> None:
    assert "has no class folders" in _refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "no images in its class folders (cat)" in _refusal(tmp_path)


def test_folder_of_splits(tmp_path: Path) -> None:
    _save(tmp_path / "train/cat/a.png", _gray(1))
    _save(tmp_path / "test/cat/a.png", _gray(1))
    assert f"'{tmp_path}/train'" in _refusal(tmp_path)
    assert load_dataset(tmp_path / "train").class_names == {0: "cat"}
    with pytest.raises(RequestError, match="no 'test' split"):
        load_dataset(tmp_path / "train", split="test")


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    _save(tmp_path / "a/good.png", _gray(1, 64, 64))
    whole = (tmp_path / "a/good.png").read_bytes()
    for contents in (b"", b"no image at all", whole[: len(whole) // 2]):
        (tmp_path / "a/bad.png").write_bytes(contents)
        message = _refusal(tmp_path)
        assert "bad.png" in message
        assert "cannot be read" in message


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "a/deep.png", np.full((8, 8), 40000, np.uint16))
    message = _refusal(tmp_path)
    assert "deep.png" in message
    assert "8 bits" in message


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
    assert load_dataset(tmp_path).channels == 3
