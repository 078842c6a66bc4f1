"""A noise schedule that is trained with the model (Kingma et al. 2021, "VDM")."""

import math
from typing import cast

import torch
from torch import Tensor, nn

LOWEST, HIGHEST = (-9.0, -3.0), (3.0, 15.0)
"""What the first gamma, and the last, may be: samplers compute in single precision."""

FIRST, LAST = -8.0, 7.0
"""Those that training begins with."""

KNOTS = 16
"""Sigmoids of the monotone network, and at first their distance in 1 / time."""

LINEAR = 0.25
"""Share of the straight line from the first to the last gamma: no two timesteps are alike."""


FLAT, STEEPEST = 1e-6, 10.0
"""What keeps numbers finite: a slope for where all sigmoids are flat, and the largest logarithm."""


class LearnedSchedule(nn.Module):
    """gamma(t) = -log(SNR) of times from 0 to 1, which rises whatever the weights are.

    As in section 3.2 and appendix H of VDM: a network of one hidden layer of sigmoids with positive
    weights, scaled to run from a trained gamma(0) to a trained gamma(1). Positive weights are
    exponentials here, heights a softmax, since no more than their ratios count. alpha-bar is
    sigmoid(-gamma).

    Attributes:
        ends: Of gamma(0) and gamma(1), each within its limits by a sigmoid, (2,).
        heights: Of the sigmoids, before the softmax, (K,).
        slopes: Logarithms of their slopes, (K,).
        centres: Times of their middles, (K,).
    """

    def __init__(self) -> None:
        """Start with gamma nearly linear in time; there is nothing random about it."""
        super().__init__()
        starts = zip((FIRST, LAST), (LOWEST, HIGHEST), strict=True)
        shares = [(value - low) / (high - low) for value, (low, high) in starts]
        self.ends = nn.Parameter(torch.tensor([math.log(share / (1 - share)) for share in shares]))
        self.heights = nn.Parameter(torch.zeros(KNOTS))
        self.slopes = nn.Parameter(torch.full((KNOTS,), math.log(2.0 * KNOTS)))
        self.centres = nn.Parameter((torch.arange(KNOTS) + 0.5) / KNOTS)

    def limits(self) -> Tensor:
        """Return gamma(0) and gamma(1), (2,)."""
        low, high = torch.tensor([LOWEST, HIGHEST], device=self.ends.device).T
        ends: Tensor = low + (high - low) * self.ends.sigmoid()
        return ends

    def share(self, times: Tensor) -> Tensor:
        """Return how far from gamma(0) to gamma(1) times in [0, 1] of any shape are, in [0, 1]."""
        # Elementwise, since automatic mixed precision would multiply matrices in bf16.
        first, last = self._network(times.new_tensor([0.0, 1.0]))
        network = self._network(times) - first
        scaled = (network + FLAT * times) / (last - first + FLAT)
        share: Tensor = LINEAR * times + (1 - LINEAR) * scaled
        return share

    def forward(self, times: Tensor) -> Tensor:
        """Return gamma of times in [0, 1], of their shape."""
        low, high = self.limits()
        gamma: Tensor = low + (high - low) * self.share(times)
        return gamma

    def betas(self, timesteps: int) -> list[float]:
        """Return the betas of a diffusion of that length, whose last alpha-bar is that of gamma(1).

        That of timestep t, from 0, is sigmoid(-gamma((t + 1) / timesteps)).
        """
        with torch.no_grad():
            times = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps
            gamma = self(times.to(self.ends.device)).cpu()
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), (-gamma).sigmoid()])
        return cast("list[float]", (1 - alpha_bar[1:] / alpha_bar[:-1]).tolist())

    def _network(self, times: Tensor) -> Tensor:
        arguments = self.slopes.clamp(max=STEEPEST).exp() * (times[..., None] - self.centres)
        return (self.heights.softmax(-1) * arguments.sigmoid()).sum(-1)
