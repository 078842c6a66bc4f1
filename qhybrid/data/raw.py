"""What every reader returns, checked once, whatever the source was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhybrid_circuits.errors import RequestError


@dataclass(frozen=True)
class RawImages:
    """Images as they lie on disk, before classes are chosen and sizes are changed.

    Attributes:
        images: uint8 (N, H, W, C), C = 1 or 3.
        labels: int64 (N,), the source's own label ids.
        class_names: Label id -> name, for every class of the source.
        source: The dataset's name or path, for messages.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: dict[int, str]
    source: str


def check_images(images: NDArray[np.generic], what: str) -> NDArray[np.uint8]:
    """Return images (N, H, W), (N, H, W, 1) or (N, H, W, 3), `what` in messages, as (N, H, W, C).

    Raises:
        RequestError: Another dtype or shape, or no images at all.
    """
    if images.dtype != np.uint8:
        raise RequestError(
            f"{what} must be uint8 (0 to 255), but it is {images.dtype}; scale and convert it"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise RequestError(
            f"{what} must have shape (N, H, W) or (N, H, W, 3), but it has {images.shape}"
        )
    if 0 in images.shape:
        raise RequestError(f"{what} is empty: its shape is {images.shape}")
    return (images if images.ndim == 4 else images[..., np.newaxis]).view(np.uint8)


def check_labels(labels: NDArray[np.generic], count: int, what: str) -> NDArray[np.int64]:
    """Return labels, integers (N,) or (N, 1) of `count` images, as int64 (N,).

    Raises:
        RequestError: Not integers, another shape, or not one label per image.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise RequestError(f"{what} must hold integers, but it is {labels.dtype}")
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise RequestError(
            f"{what} must have shape (N,) or (N, 1), one class per image, but it has {labels.shape}"
        )
    if len(labels) != count:
        raise RequestError(
            f"{what} must hold one label per image: {len(labels)} for {count} images"
        )
    return labels.reshape(-1).astype(np.int64)
