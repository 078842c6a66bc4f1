"""Models of latents: an autoencoder, and a denoiser of its latents that may be a circuit."""

import math
from collections.abc import Sequence
from typing import Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qhybrid.diffusion.autoencoder import Autoencoder
from qhybrid.models.control import Options, circuit_bank
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.errors import RequestError, ShapeError
from qhybrid_runtime import Backend

FREQUENCIES = 4
"""Frequencies at which the denoiser is told the noise: pi/2, pi, 2 pi and 4 pi."""


class CircuitDenoiser(nn.Module):
    """Circuits between two linear maps: all that a denoising step takes is one round.

    Attributes:
        angles: Linear map of the features to the inputs of all circuits.
        bank: Holds the circuits, or their controls.
        readout: Linear map of the outputs of all circuits.
    """

    def __init__(
        self,
        circuits: Sequence[VariationalCircuit],
        backend: Backend,
        *,
        features: int,
        latents: int,
        **options: Unpack[Options],
    ) -> None:
        """Build around circuits; see `Options`."""
        super().__init__()
        self._inputs = [circuit.num_inputs for circuit in circuits]
        self.angles = nn.Linear(features, sum(self._inputs))
        self.bank = circuit_bank(circuits, backend, **options)
        self.readout = nn.Linear(sum(circuit.num_outputs for circuit in circuits), latents)
        # The circuits are odd about 0, a cosine is even: its controls stand where it is odd.
        self._shift = math.pi / 2 if options.get("control") else 0.0

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F) to (B, latents)."""
        angles = self.angles(features) - self._shift
        values = self.bank(angles.split(self._inputs, dim=-1))
        return cast("Tensor", self.readout(torch.cat(list(values), dim=-1).to(features.dtype)))


class LatentDiffusion(nn.Module):
    """A denoiser of latents beside the autoencoder whose latents they are.

    Attributes:
        autoencoder: Trained beforehand, and left as it is while the denoiser is trained.
        vertex: Maps features of noisy latents, noise and class, (B, F), to (B, latents).
    """

    frequencies: Tensor

    def __init__(self, autoencoder: Autoencoder, vertex: nn.Module, classes: int = 0) -> None:
        """Put both together; the denoiser is told one of `classes`, or none."""
        super().__init__()
        self.autoencoder, self.vertex, self.classes = autoencoder, vertex, classes
        frequencies = math.pi / 2 * 2 ** torch.arange(FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)

    @staticmethod
    def features(latents: int, classes: int) -> int:
        """Return how many features the denoiser is given."""
        return latents + 2 * FREQUENCIES + classes

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict F (Karras et al. 2022, equation 7).

        Args:
            x: Noisy latents, scaled to variance 1, (B, latents).
            time: c_noise, ln(sigma) / 4, (B,).
            labels: Class of each, (B,), from 0; None is the first class for all. Models without
                classes do not look at it.

        Raises:
            ShapeError: An argument has another shape.
        """
        if x.ndim != 2 or x.shape[1] != self.autoencoder.latents or time.shape != x.shape[:1]:
            raise ShapeError(
                f"latents must have shape (B, {self.autoencoder.latents}) and times (B,), but have "
                f"{tuple(x.shape)} and {tuple(time.shape)}"
            )
        angles = time.to(x.dtype)[:, None] * self.frequencies.to(x.dtype)
        features = [x, angles.sin(), angles.cos()]
        if self.classes:
            chosen = torch.zeros_like(time, dtype=torch.long) if labels is None else labels
            features.append(functional.one_hot(chosen, self.classes).to(x.dtype))
        return cast("Tensor", self.vertex(torch.cat(features, dim=1)))


def check_fit(circuit: VariationalCircuit, ansatz: str, latents: int) -> None:
    """Refuse a circuit that cannot take in, or give out, that many latents.

    Raises:
        RequestError: It has fewer inputs or outputs than there are latents.
    """
    for what, number in (("inputs", circuit.num_inputs), ("outputs", circuit.num_outputs)):
        if number < latents:
            raise RequestError(
                f"ansatz '{ansatz}' has {number} {what}, fewer than the {latents} latents that it "
                f"is to denoise; set model.dim to {number} at most, or choose an ansatz with more"
            )
