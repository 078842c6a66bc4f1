"""Whether generated images are training images: the nearest one of each, in pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qhybrid.data.dataset import scale_pixels
from qhybrid.diffusion.images import save_grid
from qhybrid.evaluation.bootstrap import of_mean
from qhybrid.files import replacing

EXPECTED = 0.01
"""Share of training images that are nearer to another one than the threshold, by its definition."""

WORST, COLUMNS = 24, 8
SEED = 0
_ELEMENTS = 2**22
"""Of the table of distances that are in memory at once."""


@dataclass(frozen=True)
class Memorization:
    """How near generated images are to training images.

    A distance is the root mean square difference of pixels from 0 to 1.

    Attributes:
        share: Of the generated images that are no further from a training image than the threshold.
        low: Lower end of its 95 % interval.
        high: Upper end.
        expected: The share among images that are as far from the training images as those are from
            each other.
        threshold: Distance that 1 % of the training images are nearer than to another one.
        copies: Generated images that equal a training image.
        images: Generated images.
        training_images: Training images.
        nearest: (N,) index of the nearest training image of each generated one.
        distances: (N,) to it.
    """

    share: float
    low: float
    high: float
    expected: float
    threshold: float
    copies: int
    images: int
    training_images: int
    nearest: Tensor
    distances: Tensor

    def to_dict(self) -> dict[str, Any]:
        """Return all but the arrays."""
        return {k: v for k, v in vars(self).items() if not isinstance(v, Tensor)}

    def save(self, generated: Tensor, training: Tensor, picture: Path, table: Path) -> None:
        """Write the nearest pairs as a picture, and the nearest image of each as arrays (npz).

        In the picture a row of generated images stands above the row of their training images.
        """
        worst = self.distances.argsort(stable=True)[:WORST]
        rows = [
            scale_pixels(images[chosen])
            for part in torch.split(worst, COLUMNS)
            for images, chosen in ((generated, part), (training, self.nearest[part]))
        ]
        save_grid(torch.cat(rows), picture, columns=min(COLUMNS, len(worst)))
        with replacing(table) as temporary:
            nearest, distance = self.nearest.numpy(), self.distances.numpy()
            np.savez_compressed(temporary, nearest=nearest, distance=distance)


def memorization(generated: Tensor, training: Tensor, counts: Tensor) -> Memorization:
    """Find the nearest training image of each generated one, and judge how near they are.

    Args:
        generated: uint8 (N, H, W, C).
        training: uint8 (M, H, W, C), at least 2.
        counts: How often each generated image is in each resampled set, (B, N).
    """
    distances, nearest = _nearest(generated, training)
    chooser = torch.Generator().manual_seed(SEED)
    some = torch.randperm(len(training), generator=chooser)[: len(generated)]
    among, _ = _nearest(training[some], training, some)
    threshold = float(among.quantile(EXPECTED))
    share = of_mean(distances <= threshold, counts)
    low, high = share.interval(0, 1)
    copies = int((distances == 0).sum())
    sizes = len(generated), len(training)
    return Memorization(
        share.value, low, high, EXPECTED, threshold, copies, *sizes, nearest, distances
    )


def _nearest(queries: Tensor, images: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the distance from each query to its nearest image and the index of that, (N,) each.

    Args:
        queries: uint8 (N, H, W, C).
        images: uint8 (M, H, W, C).
        own: (N,) index of each query among the images, which does not count as its neighbour.
    """
    rows, columns = (x.flatten(1).float().sub_(128) for x in (queries, images))
    lengths, found = torch.einsum("ij,ij->i", columns, columns), []
    step = max(1, _ELEMENTS // len(columns))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        squares = torch.addmm(lengths, part, columns.T, alpha=-2)
        if own is not None:
            squares[torch.arange(len(part)), own[start : start + step]] = torch.inf
        found.append(squares.argmin(1))
    index = torch.cat(found)
    # The differences themselves: equal images are at a distance of 0, which products may miss.
    return (rows - columns[index]).square().mean(1).sqrt() / 255, index
