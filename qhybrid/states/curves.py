"""Fidelities with the states of the data, while noise is added and while it is removed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qhybrid.states.density import density_matrices
from qhybrid.states.figure import Band, Curve
from qhybrid.states.process import to_complex

ADDED, REMOVED = "noise added", "generated, from the right"
LABEL = "steps of noise; mean fidelity with the states of the data"

_MIDDLE = (0.05, 0.95)


class Curves(NamedTuple):
    """What a picture shows.

    Attributes:
        lines: Mean fidelity after 0, 1, ... steps of noise.
        bands: The middle 90 % of the states.
    """

    lines: dict[str, Curve]
    bands: dict[str, Band]


def mean_fidelity(states: Tensor, data: Tensor) -> Tensor:
    """Return the mean of <psi|rho|psi> over pure states psi (N, d, d) of the data, for each rho.

    It is what the loss of Jo et al. (2026, equation 12) is one minus. Where the data are not all
    the same state it is less than 1 for the data themselves.
    """
    return torch.einsum("...ij,ji->...", states, data.mean(0)).real


@torch.no_grad()
def fidelity_curves(process: Any, data: Tensor, frames: Sequence[Tensor]) -> Curves:
    """Return the curves of data (N, d, d) and of drawn states, (M, 2, d, 1) from noise to states.

    `process` is a `DensityProcess`.
    """
    forward = process.forward(data.shape[-1].bit_length() - 1)
    added = [mean_fidelity(forward.noisy(data, t), data) for t in range(len(frames))]
    vectors = [to_complex(each) for each in reversed(frames)]
    removed = [mean_fidelity(density_matrices(each), data) for each in vectors]
    lines: dict[str, Curve] = {}
    bands: dict[str, Band] = {}
    for name, curve in ((ADDED, added), (REMOVED, removed)):
        lines[name] = [float(each.mean()) for each in curve]
        middle = torch.tensor(_MIDDLE, dtype=torch.float64)
        low, high = torch.stack([each.quantile(middle) for each in curve], dim=1).tolist()
        bands[name] = (low, high)
    return Curves(lines, bands)
