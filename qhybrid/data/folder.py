"""A folder of image files, one subfolder per class."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qhybrid.data.catalog import Reading
from qhybrid.data.raw import RawImages
from qhybrid.data.sizes import fit_image_size
from qhybrid_circuits.errors import RequestError

_GRAYSCALE_MODES = ("1", "L", "LA")
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L")
_SPLIT_NAMES = {"train", "val", "test"}


def read_folder(reading: Reading) -> RawImages:
    """Read all images; grayscale when all of them are, RGB otherwise.

    Images are resized one by one as they are read, so that originals may differ in size.

    Raises:
        RequestError: No class folders, no images, an unreadable image, or sizes that differ.
    """
    source = reading.name
    samples, class_names = _find_images(Path(reading.path or source), source)
    images = list(_read_images([file for file, _ in samples], reading.image_size))
    if any(image.shape[2] == 3 for image in images):
        images = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in images]
    labels = np.array([label for _, label in samples], dtype=np.int64)
    return RawImages(np.stack(images), labels, class_names, source)


def _find_images(path: Path, source: str) -> tuple[list[tuple[str, int]], dict[int, str]]:
    """List (file, label id) and the names of the classes that have images."""
    from torchvision.datasets.folder import is_image_file, make_dataset

    def is_wanted(file: str) -> bool:
        hidden = any(part.startswith(".") for part in Path(file).relative_to(path).parts)
        return is_image_file(file) and not hidden

    classes = _class_folders(path, source)
    if not classes:
        raise RequestError(
            f"folder '{source}' has no class folders; put the images into one subfolder per class"
        )
    if set(classes) <= _SPLIT_NAMES:
        raise RequestError(
            f"folder '{source}' holds splits ({', '.join(classes)}), not classes; "
            f"give one of them, e.g. '{Path(source) / classes[-1]}'"
        )
    ids = {name: label for label, name in enumerate(classes)}
    samples = make_dataset(str(path), ids, is_valid_file=is_wanted, allow_empty=True)
    if not samples:
        raise RequestError(
            f"folder '{source}' has no images in its class folders ({', '.join(classes)}); "
            "PNG, JPEG, BMP, TIFF, PPM, PGM and WebP files are read"
        )
    used = {label for _, label in samples}
    return samples, {label: classes[label] for label in sorted(used)}


def _class_folders(path: Path, source: str) -> list[str]:
    """Names of the subfolders, without the hidden ones that systems and editors leave."""
    try:
        entries = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    except OSError as error:
        raise RequestError(
            f"folder '{source}' cannot be read: {error.strerror}; check its permissions"
        ) from error
    return [name for name in entries if not name.startswith(".")]


def _read_images(files: list[str], image_size: int | None) -> Iterator[NDArray[np.uint8]]:
    first_shape: tuple[int, ...] | None = None
    for file in files:
        image = read_image(file)
        if image_size is not None:
            image = fit_image_size(image[np.newaxis], image_size, f"'{file}'")[0]
        first_shape = first_shape or image.shape[:2]
        if image.shape[:2] != first_shape:
            raise RequestError(
                f"image '{file}' is {image.shape[1]}x{image.shape[0]}, but '{files[0]}' is "
                f"{first_shape[1]}x{first_shape[0]}; resize all with --set data.image_size=N"
            )
        yield image


def read_image(file: str) -> NDArray[np.uint8]:
    """Read one file as uint8 (H, W, 1) or (H, W, 3).

    Raises:
        RequestError: Not an image, damaged, or more than 8 bits a channel.
    """
    if not Path(file).is_file():  # opening a named pipe would wait for ever
        raise RequestError(f"image '{file}' is not a regular file; remove or replace it")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            mode = image.mode
            pixels = np.asarray(image.convert("L" if mode in _GRAYSCALE_MODES else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(
            f"image '{file}' cannot be read ({reason}); remove or replace it"
        ) from error
    if mode in _DEEP_MODES:
        raise RequestError(f"image '{file}' has {mode} pixels; convert it to 8 bits a channel")
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
