"""The diffusion time as a feature vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.rows import CHEN, HO, VASWANI

MAX_PERIOD = 10_000.0


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of the time at `features // 2` geometric frequencies (Ho et al. 2020).

    An odd number of features ends with a zero.
    """

    frequencies: Tensor

    def __init__(self, features: int, *, frequencies: str = HO) -> None:
        """Fix the frequencies 10000^-e.

        The exponents e of `features // 2` frequencies are evenly spaced: from 0 to 1 (Ho et al.
        2020), from 0 to one step before 1 (Vaswani et al. 2017, section 3.5), or from one step
        after 0 to 1 (Chen et al. 2025, equation 5).
        """
        super().__init__()
        half = features // 2
        exponents = {
            HO: torch.arange(half) / max(half - 1, 1),
            VASWANI: torch.arange(half) / half,
            CHEN: torch.arange(1, half + 1) / half,
        }
        steps = exponents[frequencies]
        rates = torch.exp(-math.log(MAX_PERIOD) * steps)
        self.register_buffer("frequencies", rates, persistent=False)
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
