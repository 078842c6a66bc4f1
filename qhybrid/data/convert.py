"""Images and labels in the forms that people have them, in the one form that models take.

A form that can mean only one thing is converted; a note says so. What is ambiguous is refused.
"""

import numpy as np
from numpy.typing import NDArray

from qhybrid_circuits.errors import RequestError

LEAST_WHITE = 128
"""Whole numbers that stay below this may be on another scale than 0 to 255, e.g. 0 to 16."""


def as_images(images: NDArray[np.generic], what: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return images as uint8 (N, H, W, C), and a note on each conversion.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3: uint8, booleans, floats in
            [0, 1], or whole numbers of any type from 0 to 255.
        what: Names them in messages.

    Raises:
        RequestError: Another shape or range, or no images at all.
    """
    shape = images.shape
    channels_last = images.ndim == 4 and shape[3] in (1, 3)
    channels_first = images.ndim == 4 and shape[1] in (1, 3) and not channels_last
    if not (images.ndim == 3 or channels_last or channels_first):
        raise RequestError(
            f"{what} must have shape (N, H, W), (N, H, W, 3) or (N, 3, H, W), but it has {shape}"
        )
    if 0 in shape:
        raise RequestError(f"{what} is empty: its shape is {shape}")
    pixels, note = _as_bytes(images, what)
    if channels_first:
        pixels = np.moveaxis(pixels, 1, 3)
    return pixels if images.ndim == 4 else pixels[..., np.newaxis], (note,) if note else ()


def _as_bytes(images: NDArray[np.generic], what: str) -> tuple[NDArray[np.uint8], str]:
    dtype, name = images.dtype, images.dtype.name
    if dtype == np.uint8:
        return images.view(np.uint8), ""
    if dtype == np.bool_:
        return np.where(images, np.uint8(255), np.uint8(0)), f"{what}: true is read as white"
    if dtype.kind not in "iuf":
        raise RequestError(
            f"{what} must be uint8 (0 to 255) or floats in [0, 1], but it is {name}; convert it"
        )
    low, high = float(images.min()), float(images.max())
    if dtype.kind == "f" and low >= 0 and high <= 1:
        scaled = np.rint(images.astype(np.float64) * 255).astype(np.uint8)
        return scaled, f"{what}: {name} from 0 to 1 is read as 0 to 255"
    whole = dtype.kind != "f" or bool((images == np.rint(images.astype(np.float64))).all())
    if whole and low >= 0 and LEAST_WHITE <= high <= 255:
        return images.astype(np.uint8), f"{what}: {name} from 0 to 255 is read as uint8"
    raise RequestError(
        f"{what} must be uint8 (0 to 255), floats in [0, 1] or whole numbers from 0 to 255, but "
        f"it is {name} from {low:.4g} to {high:.4g}; scale and convert it"
    )


def as_labels(
    labels: NDArray[np.generic], count: int, what: str
) -> tuple[NDArray[np.int64], dict[int, str], tuple[str, ...]]:
    """Return label ids (N,), the names of the classes by id, and a note on each conversion.

    Args:
        labels: (N,) or (N, 1): integers, floats that are whole, or text, whose classes are counted
            in alphabetical order; or one-hot rows (N, K).
        count: Number of images.
        what: Names them in messages.

    Raises:
        RequestError: Labels of another kind or shape, or not one label per image.
    """
    notes: tuple[str, ...] = ()
    if labels.ndim == 2 and labels.shape[1] > 1 and _is_one_hot(labels):
        labels, notes = labels.argmax(axis=1), (f"{what}: one-hot rows are read as class numbers",)
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise RequestError(
            f"{what} must have shape (N,) or (N, 1), one class per image, or one-hot rows, but it "
            f"has {labels.shape}"
        )
    if len(labels) != count:
        raise RequestError(
            f"{what} must hold one label per image: {len(labels)} for {count} images"
        )
    labels = labels.reshape(-1)
    if labels.dtype.kind in "US":
        texts = [t.decode(errors="replace") if isinstance(t, bytes) else t for t in labels.tolist()]
        names, ids = np.unique(texts, return_inverse=True)
        return ids.astype(np.int64), {i: str(name) for i, name in enumerate(names)}, notes
    whole = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and bool((np.rint(labels) == labels).all())
    )
    if not whole or float(np.abs(labels.astype(np.float64)).max()) > 2**53:
        raise RequestError(
            f"{what} must hold whole numbers or text, but it is {labels.dtype}; number the classes"
        )
    ids = labels.astype(np.int64)
    return ids, {int(label): str(label) for label in np.unique(ids)}, notes


def no_labels(count: int) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the labels of images that have none: all are of one class, "all"."""
    return np.zeros(count, dtype=np.int64), {0: "all"}


def _is_one_hot(labels: NDArray[np.generic]) -> bool:
    if labels.dtype.kind not in "iufb":
        return False
    return bool(
        (((labels == 0) | (labels == 1)).all(axis=1) & ((labels == 1).sum(axis=1) == 1)).all()
    )
