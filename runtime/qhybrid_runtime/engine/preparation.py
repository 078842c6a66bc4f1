"""Registers that start in a state whose amplitudes are data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qhybrid_circuits.encoding.amplitude import check_amplitudes
from qhybrid_runtime.checks import all_finite
from qhybrid_runtime.engine.angles import AngleTable


@dataclass(frozen=True)
class Preparation:
    """A register that starts in given amplitudes rather than in |0...0>."""

    qubits: tuple[int, ...]  # The first is the least significant bit of an amplitude's number.
    real: tuple[int, ...]  # Columns of the program's data angles that hold the real parts.
    imaginary: tuple[int, ...] = ()  # Those of the imaginary parts; none where they are zero.

    @property
    def columns(self) -> tuple[int, ...]:
        """Return all columns, which are consecutive."""
        return self.real + self.imaginary

    def state(self, data_angles: Tensor) -> Tensor:
        """Return the amplitudes (G, 2**n_qubits, B) in data angles (G, B, n_data_angles)."""
        real = _part(data_angles, self.real)
        imaginary = _part(data_angles, self.imaginary) if self.imaginary else 0 * real
        return torch.complex(real, imaginary)


def _part(table: Tensor, columns: Sequence[int]) -> Tensor:
    return table[..., columns[0] : columns[-1] + 1].transpose(1, 2).contiguous()


@dataclass(frozen=True, eq=False)
class Amplitudes:
    """The amplitudes of all prepared registers as a differentiable function of parameters.

    Attributes:
        features: What they are proportional to, a function of inputs and weights side by side.
        registers: In the order of the features.
    """

    features: AngleTable
    registers: tuple[Preparation, ...] = ()

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return the amplitudes (..., n_features), each register's of length one.

        They are NaN where all features of a register are zero.
        """
        parts = self._split(self.features(parameters))
        return torch.cat([_normalized(part) for part in parts], dim=-1)

    def check(self, amplitudes: Tensor, parameters: Tensor) -> None:
        """Check what a call with `parameters` (G, B, n_parameters) returned, on the CPU only.

        Raises:
            RequestError: All features of a register are zero in some sample.
            NotFiniteError: A feature is NaN or infinite.
        """
        if all_finite(amplitudes):
            return
        features = self.features(parameters).detach()
        for part in self._split(features[0] if len(features) == 1 else features):
            check_amplitudes(part.numpy())

    def rates(self, parameters: Tensor) -> list[Tensor]:
        """Return how far each register's state moves with each parameter, at the most.

        For parameters (B, n_parameters) it is, in the same shape, the largest slope of the
        register's features over the length of them all; zero where that is zero.
        """
        rates, first = [], 0
        for part in self._split(self.features(parameters)):
            end = first + part.shape[-1]
            slopes = torch.as_tensor(self.features.largest_slopes(first, end)).to(parameters)
            lengths = part.square().sum(dim=-1, keepdim=True).sqrt()
            rates.append(torch.where(lengths > 0, slopes / lengths, 0.0))
            first = end
        return rates

    @property
    def key(self) -> tuple[object, ...]:
        """Return what is equal for equal functions and registers."""
        return (self.registers, self.features.key)

    def _split(self, features: Tensor) -> tuple[Tensor, ...]:
        sizes = [len(register.columns) for register in self.registers]
        return features.split_with_sizes(sizes, dim=-1)


def _normalized(features: Tensor) -> Tensor:
    # Squares of large or small numbers would leave the range of single precision. The result does
    # not depend on the scale, so neither does its derivative.
    scaled = features / features.detach().abs().amax(dim=-1, keepdim=True)
    return scaled / scaled.square().sum(dim=-1, keepdim=True).sqrt()
