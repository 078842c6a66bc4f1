"""The reverse process of quantum states as a model: circuits alone."""

import torch
from torch import Tensor, nn

from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import Execution
from qhybrid.states.density import density_matrices
from qhybrid.states.process import to_complex
from qhybrid.states.reverse import ReverseProcess
from qhybrid_circuits.errors import ShapeError


class QuantumReverse(nn.Module):
    """Takes states one step of noise back.

    Attributes:
        reverse: The circuits.
    """

    def __init__(self, reverse: ReverseProcess) -> None:
        """Wrap a reverse process."""
        super().__init__()
        self.reverse = reverse

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return density matrices of the step before, (B, 2, d, d), real and imaginary parts.

        Args:
            x: State vectors of any length but zero, (B, 2, d, 1), real and imaginary parts.
            time: Time step of each, (B,), from 0.

        Raises:
            ShapeError: x or time has another shape.
        """
        shape = (2, 1 << self.reverse.num_qubits, 1)
        if x.shape[1:] != shape or time.shape != x.shape[:1]:
            raise ShapeError(
                f"arguments `x` and `time` must have shapes (B, 2, {shape[1]}, 1) and (B,), but "
                f"have {tuple(x.shape)} and {tuple(time.shape)}"
            )
        after = self.reverse(density_matrices(to_complex(x)), time + 1)
        return torch.view_as_real(after).movedim(-1, 1).to(x.dtype)


def qreverse(spec: ModelSpec, execution: Execution) -> QuantumReverse:
    """A circuit for each time step, on the qubits of the states and ancillas."""
    if spec.qubits is None or spec.timesteps is None or spec.ancillas is None:
        raise ValueError(f"{spec.name} is a model of quantum states")
    reverse = ReverseProcess(
        spec.qubits,
        spec.timesteps,
        ancillas=spec.ancillas,
        layers=spec.ansatz_layers,
        backend=execution.backend,
        gradient=execution.gradient,
        generator=execution.generator,
    )
    return QuantumReverse(reverse)
