"""Generated images as they are on disk: read and judged, never converted."""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qhybrid.arrays import read_array
from qhybrid.data.convert import as_images
from qhybrid.data.folder import ONLY_GREY, in_one_form, read_image
from qhybrid.evaluation.request import LEAST_IMAGES
from qhybrid.evaluation.subject import DRAW
from qhybrid_circuits.errors import RequestError, ShapeError

KEY = "images"


def read_file(path: Path) -> NDArray[np.uint8]:
    """Read uint8 (N, H, W, C) under the key `images` of an npz file.

    Raises:
        RequestError: The file cannot be read, or its images are not as they must be.
    """
    layout = f"generated images are uint8 (N, H, W, C) under '{KEY}'"
    return check_pixels(read_array(path, KEY, str(path), layout), f"'{KEY}' of {path}")


def read_folder(path: Path) -> NDArray[np.uint8]:
    """Read the image files of a folder and of its subfolders, in the order of their names.

    Raises:
        RequestError: There is none, one cannot be read, or they differ in size.
    """
    from torchvision.datasets.folder import is_image_file

    files = [
        str(file)
        for file in sorted(path.rglob("*"))
        if is_image_file(file.name)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not files:
        raise RequestError(f"the folder '{path}' has no images; {DRAW}")
    seen: Counter[str] = Counter()
    images = in_one_form([read_image(file, seen) for file in files])
    if changes := [f"{note} ({n} images)" for note, n in seen.items() if note != ONLY_GREY]:
        raise RequestError(
            f"the images of '{path}' would be changed: {', '.join(changes)}; write them with 8 "
            "bits per channel, upright and opaque"
        )
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise RequestError(
                f"the image '{file}' is {_size(image)}, but '{files[0]}' is {_size(images[0])}; "
                "remove it, or convert all to one form"
            )
    return check_pixels(np.stack(images), f"the images of '{path}'")


def check_pixels(images: object, what: str) -> NDArray[np.uint8]:
    """Return images as uint8 (N, H, W, C) if that is what they are.

    Nothing is cast: a cast of floats from 0 to 1 to bytes leaves black images, and published
    figures came from one.

    Raises:
        RequestError: Another dtype, range or shape, or too few images.
    """
    if not isinstance(images, np.ndarray):
        raise RequestError(f"{what} must be a uint8 array, but is a {type(images).__name__}")
    if images.size == 0:
        raise RequestError(f"{what}: there are none, the shape is {images.shape}; {DRAW}")
    if images.dtype != np.uint8:
        raise RequestError(f"{what} must be uint8 from 0 to 255, but {_described(images)}")
    checked, _ = as_images(images, what)
    if int(checked.max()) <= 1:
        raise RequestError(
            f"{what} have no pixel above {checked.max()} of 255: floats from 0 to 1 that were cast "
            "to bytes look like that; write them again as (255 * x).round().astype('uint8')"
        )
    if len(checked) < LEAST_IMAGES:
        raise RequestError(
            f"{what} are {len(checked)}, but KID compares subsets of {LEAST_IMAGES}, and FID says "
            f"little below 2048; {DRAW}"
        )
    return checked


def _described(images: NDArray[np.generic]) -> str:
    """Return what an array of another dtype holds, and how it is to be converted."""
    if not (np.issubdtype(images.dtype, np.floating) or np.issubdtype(images.dtype, np.integer)):
        return f"are {images.dtype}; store pixels, e.g. x.astype('uint8')"
    finite = np.isfinite(images)
    if not finite.all():
        wrong = int(images.size - finite.sum())
        return f"are {images.dtype} with {wrong} pixels that are NaN or infinite; draw them again"
    low, high = float(images.min()), float(images.max())
    held = f"are {images.dtype} from {low:g} to {high:g}"
    if np.issubdtype(images.dtype, np.integer) and low >= 0 and 1 < high <= 255:
        return f"{held}; use x.astype('uint8')"
    ways = {(0, 1): "(255 * x)", (-1, 1): "(127.5 * (x + 1))", (0, 255): "x"}
    for (least, most), way in ways.items():
        if least <= low and high <= most:
            return f"{held}; if that is [{least}, {most}], use {way}.round().astype('uint8')"
    return f"{held}, which is out of range; clip or scale them to [0, 255] where they are drawn"


def fit_reference(
    images: NDArray[np.uint8], shape: tuple[int, ...], what: str, reference: str
) -> NDArray[np.uint8]:
    """Return images in the form of the real ones, (H, W, C) = `shape`.

    Files of grey images are often RGB; where the three channels are equal, one is kept.

    Raises:
        ShapeError: They differ in size or channels.
    """
    if shape[2] == 1 and images.shape[3] == 3 and bool((images == images[..., :1]).all()):
        images = images[..., :1]
    if images.shape[1:] != shape:
        raise ShapeError(
            f"{what} are {_size(images[0])}, but the real images of {reference} are "
            f"{_size(np.empty(shape))}; choose others with --dataset, or resize those with "
            "--dataset and --image-size"
        )
    return images


def _size(image: NDArray[np.generic]) -> str:
    height, width, channels = image.shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"
