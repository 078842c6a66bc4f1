"""The diffusion time as a feature vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_PERIOD = 10_000.0


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of the time at `features // 2` geometric frequencies (Ho et al. 2020).

    An odd number of features ends with a zero.
    """

    frequencies: Tensor

    def __init__(self, features: int, *, from_one: bool = True) -> None:
        """Fix the frequencies, from 1 down to 1 / 10000.

        Without `from_one` they start one step lower: 10000^(-2k / features), k = 1 to features / 2
        (Chen et al. 2025, equation 5).
        """
        super().__init__()
        half = features // 2
        steps = torch.arange(half) / max(half - 1, 1)
        if not from_one:
            steps = torch.arange(1, half + 1) / half
        frequencies = torch.exp(-math.log(MAX_PERIOD) * steps)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.padding = features - 2 * half

    def forward(self, time: Tensor) -> Tensor:
        """Embed times of shape (B,) as (B, features)."""
        angles = time.to(self.frequencies.dtype)[:, None] * self.frequencies
        return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, self.padding))


class TimeEmbedding(nn.Sequential):
    """Sinusoidal features through a two-layer perceptron: (B,) -> (B, 4 * dim)."""

    def __init__(self, dim: int) -> None:
        """Build for a U-Net whose first level is `dim` wide."""
        wide = 4 * dim
        super().__init__(
            SinusoidalEmbedding(dim), nn.Linear(dim, wide), nn.GELU(), nn.Linear(wide, wide)
        )
