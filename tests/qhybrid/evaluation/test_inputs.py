from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.evaluation.inputs import check_pixels, fit_reference, read_file, read_folder
from qhybrid_circuits.errors import RequestError

BYTES = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
FLOATS = BYTES / np.float32(255)


def with_nan() -> np.ndarray:
    broken = FLOATS.copy()
    broken[3, 0, 0, 0] = np.nan
    return broken


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        (FLOATS, ["float32 from 0 to 1", "(255 * x).round().astype('uint8')"]),
        (2 * FLOATS - 1, ["float32 from -1 to 1", "(127.5 * (x + 1)).round()"]),
        (BYTES.astype(float), ["float64 from 0 to 255", "x.round().astype('uint8')"]),
        (BYTES.astype(int), ["int64 from 0 to 255", "x.astype('uint8')"]),
        (BYTES.astype(int) - 300, ["int64 from -300 to -45", "out of range"]),
        (7 * FLOATS, ["from 0 to 7", "[0, 255]"]),
        (with_nan(), ["1 pixels that are NaN or infinite", "draw them again"]),
        (FLOATS.astype(np.uint8), ["no pixel above 1 of 255", "cast to bytes", "(255 * x)"]),
        (BYTES[:99], ["are 99", "subsets of 100", "qhybrid sample RUN"]),
        (BYTES[:0], ["there are none", "qhybrid sample RUN"]),
        (BYTES[:, 0, :, 0], ["shape"]),
        (BYTES.repeat(2, 3), ["shape"]),
        (np.array(["a"]), ["<U1"]),
        ("text", ["a str"]),
    ],
)
def test_images_that_are_not_bytes_are_named_and_never_cast(
    images: np.ndarray, parts: list[str]
) -> None:
    with pytest.raises(RequestError) as raised:
        check_pixels(images, "the images")
    assert not [part for part in parts if part not in str(raised.value)], raised.value


def test_images_stay_as_they_are() -> None:
    assert check_pixels(BYTES, "the images") is not None
    assert np.array_equal(check_pixels(BYTES[..., 0], "the images"), BYTES)
    grey = BYTES.repeat(3, 3)
    assert np.array_equal(fit_reference(grey, (8, 8, 1), "the images", "digits"), BYTES)


@pytest.mark.parametrize(
    ("shape", "parts"),
    [((28, 28, 1), ["8x8 RGB", "28x28 grey", "--image-size"]), ((8, 8, 1), ["8x8 RGB", "grey"])],
)
def test_images_of_another_form_than_the_real_ones_are_named(
    shape: tuple[int, ...], parts: list[str]
) -> None:
    colours = np.concatenate([BYTES, BYTES, BYTES[::-1]], axis=3)
    with pytest.raises(RequestError) as raised:
        fit_reference(colours, shape, "the images", "digits")
    assert not [part for part in parts if part not in str(raised.value)], raised.value


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for number, image in enumerate(BYTES):
        folder = tmp_path / str(number // 50)
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{number:03d}.png")
    (tmp_path / ".hidden").mkdir()
    Image.fromarray(BYTES[0, ..., 0]).save(tmp_path / ".hidden" / "x.png")
    assert np.array_equal(read_folder(tmp_path), BYTES)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "z.png")
    with pytest.raises(RequestError, match=r"z\.png' is 9x9 grey, but .*000\.png' is 8x8 grey"):
        read_folder(tmp_path)


def test_files_and_folders_without_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has no images; draw some"):
        read_folder(tmp_path)
    np.savez(tmp_path / "other.npz", pixels=BYTES)
    with pytest.raises(RequestError, match="lacks images; it holds pixels; generated images are"):
        read_file(tmp_path / "other.npz")
    np.savez(tmp_path / "good.npz", images=BYTES)
    assert np.array_equal(read_file(tmp_path / "good.npz"), BYTES)
