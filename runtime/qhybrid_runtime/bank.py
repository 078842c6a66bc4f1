from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.gradients.method import GradientMethod
from qhybrid_runtime.layer import QuantumLayer, evaluate_layers, quantum_layer


class CircuitBank(nn.Module):
    """The circuits that stand side by side at one place of a network, evaluated in one round.

    Attributes:
        layers: The circuits as `QuantumLayer`s, each with its own `weight`.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import CircuitBank, get_backend
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> bank = CircuitBank([circuit, circuit], get_backend("statevector"))
        >>> [values.shape for values in bank([torch.zeros(5, 4), torch.ones(5, 4)])]
        [torch.Size([5, 4]), torch.Size([5, 4])]
    """

    def __init__(
        self,
        variationals: Sequence[VariationalCircuit],
        backend: Backend,
        gradient: str | GradientMethod | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Make a layer of each circuit, as `quantum_layer` does.

        Args:
            variationals: The circuits.
            backend: Where they run.
            gradient: A method that the backend supports; its best one where omitted.
            generator: Source of random initial weights; torch's own where omitted.

        Raises:
            CircuitError: There is no circuit.
            RequestError: The backend does not support the gradient method.
        """
        super().__init__()
        if not variationals:
            raise CircuitError("Argument `variationals` must hold at least one circuit")
        self.layers = nn.ModuleList(
            quantum_layer(variational, backend, gradient, generator=generator)
            for variational in variationals
        )

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return (..., n_outputs) for each circuit's inputs (..., n_inputs).

        Raises:
            ShapeError: An input does not have its circuit's number of features.
        """
        return evaluate_layers([cast(QuantumLayer, layer) for layer in self.layers], inputs)
