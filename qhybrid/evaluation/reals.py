"""The real images: which of them generated ones are compared with, and which make the floor."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qhybrid.data.dataset import ImageDataset
from qhybrid.data.load import load_dataset
from qhybrid.evaluation.request import LEAST_IMAGES
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError

SEED = 0


@dataclass(frozen=True)
class RealImages:
    """Real images, of which each part is a list of indices.

    The floor is a figure of the real images `floor` against the real images `floor_reference`.

    Attributes:
        source: The data set's name or path.
        images: All, uint8 (N, H, W, C).
        reference: What generated images are compared with.
        floor: What stands in the place of generated images.
        floor_reference: What those are compared with.
        training: What a model was trained on, uint8 (M, H, W, C).
        notes: What people should know.
    """

    source: str
    images: Tensor
    reference: Tensor
    floor: Tensor
    floor_reference: Tensor
    training: Tensor
    notes: tuple[str, ...]


def load_reals(data: DataSection, split: Literal["train", "test"], count: int) -> RealImages:
    """Load the real images that `count` generated ones are compared with.

    Raises:
        RequestError: The data set cannot be read, has no such split, or too few images.
    """
    train = _load(data, "train")
    training = train if data.limit is None else _load(data, "train", data.limit)
    if split == "test":
        test = _load(data, "test")
        reference, others = _shuffled(len(test)), len(test) + _shuffled(len(train))[:count]
        images = torch.cat([test.images, train.images])
        parts, notes = (reference, others, reference), _short(len(others), count)
    else:
        images, (parts, notes) = train.images, _split(len(train), count)
    for part in parts:
        if len(part) < LEAST_IMAGES:
            raise RequestError(
                f"the '{split}' split of {train.source} leaves {len(part)} real images to compare "
                f"with, but a subset of KID has {LEAST_IMAGES}; choose more --classes or another "
                "--dataset"
            )
    return RealImages(train.source, images, *parts, training.images, notes)


def _load(data: DataSection, split: str, limit: int | None = None) -> ImageDataset:
    return load_dataset(
        data.dataset, classes=data.classes, image_size=data.image_size, split=split, limit=limit
    )


def _split(size: int, count: int) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[str, ...]]:
    """Return the parts of one split: reference, floor and the floor's reference."""
    order, half = _shuffled(size), size // 2
    if size >= 2 * count:
        return (order[count:], order[:count], order[count:]), ()
    note = (
        f"note: there are {size:,} real images, fewer than twice the {count:,} generated ones: the "
        f"floor compares two halves of {half:,}, and is too high where few images bias a figure"
    )
    return (order, order[:half], order[half:]), (note,)


def _short(found: int, count: int) -> tuple[str, ...]:
    if found == count:
        return ()
    return (f"note: the floor is of the {found:,} training images, which are fewer than {count:,}",)


def _shuffled(size: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(SEED))
