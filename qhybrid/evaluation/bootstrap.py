"""Intervals of figures by the bootstrap over generated images (Efron 1979)."""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

RESAMPLES = 200
"""Sets of images that are drawn from the generated ones, with repetition."""

LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A figure, and what it is on resampled sets of images.

    Attributes:
        value: Of the images themselves.
        resampled: (B,), on resampled sets, up to a constant.
    """

    value: float
    resampled: Tensor

    def interval(self, least: float = -inf, most: float = inf) -> tuple[float, float]:
        """Return the 95 % interval, within the figure's limits.

        Sets with repetition have fewer different images, so that figures that are biased on small
        sets, as FID is, are biased once more on them. Therefore the spread about the resampled
        sets' mean is put around the value: the interval shows the spread of the value, and not its
        bias, which the real-against-real floor shows.
        """
        spread = self.resampled.double() - self.resampled.double().mean()
        tail = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
        low, high = (self.value + spread.quantile(tail)).clamp(least, most).tolist()
        return low, high


def resample(count: int, resamples: int = RESAMPLES) -> Tensor:
    """Return how often each of `count` images is in each resampled set, float32 (B, count)."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randint(count, (resamples, count), generator=generator)
    return torch.zeros(resamples, count).scatter_add_(1, drawn, torch.ones(resamples, count))


def of_mean(values: Tensor, counts: Tensor) -> Estimate:
    """Return the mean of a value per image, (N,), and that of each resampled set, counts (B, N)."""
    values = values.double()
    return Estimate(float(values.mean()), counts.double() @ values / len(values))
