"""The dataset that training iterates over."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from qhybrid_circuits.errors import ShapeError


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images held as bytes and handed out as float32 (C, H, W) in [-1, 1].

    Attributes:
        images: uint8 (N, H, W, C).
        labels: int64 (N,), the source's own label ids.
        class_names: Label id -> name, for the classes that were kept.
        source: The dataset's name or path.
        notes: A line on each conversion that was made on reading.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        class_names: dict[int, str],
        source: str,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Check and keep the arrays.

        Raises:
            ShapeError: Images that are not uint8 (N, S, S, 1 or 3), or not one label per image.
        """
        square = images.ndim == 4 and images.shape[1] == images.shape[2]
        if images.dtype != torch.uint8 or not square or images.shape[3] not in (1, 3):
            raise ShapeError(
                "Argument `images` must be uint8 (N, S, S, C) with C = 1 or 3, but it is "
                f"{images.dtype} {tuple(images.shape)}"
            )
        if labels.shape != images.shape[:1]:
            raise ShapeError(
                f"Argument `labels` must have shape ({len(images)},), but it has "
                f"{tuple(labels.shape)}"
            )
        self.images, self.labels = images, labels.long()
        self.class_names, self.source, self.notes = class_names, source, notes

    @property
    def image_size(self) -> int:
        """Side length in pixels."""
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for RGB."""
        return self.images.shape[3]

    @property
    def described(self) -> str:
        """How many images, of what size, of how many classes."""
        classes = len(self.class_names)
        size = f"{self.image_size}x{self.image_size}x{self.channels}"
        return f"{len(self):,} of {size}, {classes} class{'es' * (classes > 1)}"

    @property
    def spec_fields(self) -> dict[str, Any]:
        """What a `ModelSpec` is told of the data."""
        return {"image_size": self.image_size, "channels": self.channels}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one image (C, H, W) in [-1, 1] and its label id."""
        return scale_pixels(self.images[index]), int(self.labels[index])

    def tensor(self) -> Tensor:
        """Return all images at once, float32 (N, C, H, W) in [-1, 1]."""
        return scale_pixels(self.images)


def scale_pixels(pixels: Tensor) -> Tensor:
    """Map uint8 (..., H, W, C) in 0..255 to float32 (..., C, H, W) in [-1, 1]."""
    return pixels.movedim(-1, -3).to(torch.float32).div(127.5).sub(1.0)
