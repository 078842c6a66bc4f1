"""The probability of the 256 grey levels of a pixel (Ho et al. 2020, equation 13)."""

import torch
from torch import Tensor

HALF_LEVEL = 1 / 255
"""Half the distance of two levels in [-1, 1]."""

_LEAST_PROBABILITY = 1e-12
"""Of which a logarithm is taken, as in the code of Ho et al."""


def log_probability(images: Tensor, deviation: Tensor, half_width: Tensor) -> Tensor:
    """Return the logarithm of the probability of levels under a normal distribution.

    A level has the probability of the values next to it; the first and the last reach to infinity.

    Args:
        images: The levels, in [-1, 1].
        deviation: Distance of each from the mean, in standard deviations.
        half_width: `HALF_LEVEL` in standard deviations.
    """
    above = torch.special.ndtr(deviation + half_width)
    below = torch.special.ndtr(deviation - half_width)
    above = torch.where(images > 1 - HALF_LEVEL, 1.0, above)
    below = torch.where(images < -1 + HALF_LEVEL, 0.0, below)
    return (above - below).clamp(min=_LEAST_PROBABILITY).log()
