"""The classical twin of a circuit: the same inputs, outputs and number of weights, and no qubits.

A hybrid that beats the classical U-Net may do so because of what replaced the convolution, not
because it is quantum. Its control has a `ControlLayer` wherever it has a circuit, and all else the
same, down to the initial weights that one seed gives.
"""

from collections.abc import Sequence
from typing import TypedDict, Unpack, cast

import torch
from torch import Tensor, nn

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.errors import ShapeError
from qhybrid_runtime import Backend, CircuitBank
from qhybrid_runtime.health.influence import circuit_modules


class Options(TypedDict, total=False):
    """How the circuits of one place are made.

    Attributes:
        gradient: A gradient method of the backend; None for its best.
        generator: Source of the initial weights, uniform in [0, 1); None for torch's global one.
        control: Whether classical layers of as many weights take the circuits' places.
    """

    gradient: str | None
    generator: torch.Generator | None
    control: bool


class ControlLayer(nn.Module):
    """Cosines of sparse linear maps, with exactly a circuit's number of weights.

    Output o is cos(x_o + sum_i W_oi x_i): in [-1, 1] like an expectation value, cos(x_o) without
    weights and 1 for x = 0, as the outputs of the HQConv and FQConv circuits are. The weights fill
    the diagonals of W one after another, so that each output has as many as any other, give or
    take one; what exceeds a full W makes a further such map of the first one's outputs.

    Attributes:
        weight: The weights, (num_weights,), uniform in [0, 1) at first, as a circuit's are.
    """

    weight: Tensor

    def __init__(
        self,
        variational: VariationalCircuit,
        *,
        generator: torch.Generator | None = None,
        weights_as_inputs: int = 0,
    ) -> None:
        """Take the sizes of a circuit.

        Args:
            variational: The circuit.
            generator: Source of the initial weights; None for torch's global one.
            weights_as_inputs: How many of the last inputs are weights that come with each sample;
                they are used after those that all samples share.
        """
        super().__init__()
        self.num_inputs, self.num_outputs = variational.num_inputs, variational.num_outputs
        self.num_features = self.num_inputs - weights_as_inputs
        self.weight = nn.Parameter(torch.rand(variational.num_weights, generator=generator))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (..., num_inputs) to (..., num_outputs), in the dtype of the weights.

        Raises:
            ShapeError: The last dimension is not the number of inputs.
        """
        if inputs.shape[-1:] != (self.num_inputs,):
            raise ShapeError(
                f"Inputs of a control must have shape (..., {self.num_inputs}), but have shape "
                f"{tuple(inputs.shape)}"
            )
        hidden, sampled = inputs.to(self.weight.dtype).tensor_split([self.num_features], dim=-1)
        every, first = self.weight, 0
        if sampled.shape[-1]:
            every = torch.cat([every.expand(*sampled.shape[:-1], -1), sampled], dim=-1)
        while first == 0 or first < every.shape[-1]:
            weights = every[..., first : first + hidden.shape[-1] * self.num_outputs]
            same = torch.arange(self.num_outputs, device=hidden.device) % hidden.shape[-1]
            matrix = self._matrix(weights, hidden.shape[-1])
            mixed = hidden @ matrix.T if matrix.ndim == 2 else (matrix @ hidden[..., None])[..., 0]
            hidden = torch.cos(hidden[..., same] + mixed)
            first += max(weights.shape[-1], 1)
        return hidden

    def _matrix(self, weights: Tensor, columns: int) -> Tensor:
        """Put weights (..., n) on the diagonals of (..., num_outputs, columns), main one first."""
        index = torch.arange(weights.shape[-1], device=weights.device)
        rows = index % self.num_outputs
        matrix = weights.new_zeros(*weights.shape[:-1], self.num_outputs, columns)
        place = rows * columns + (rows + index // self.num_outputs) % columns
        return matrix.flatten(-2).index_copy(-1, place, weights).view_as(matrix)


class ControlBank(nn.Module):
    """Controls side by side, to stand where a `CircuitBank` would.

    Attributes:
        layers: A `ControlLayer` for each circuit, under the names that the circuits would have.
    """

    def __init__(
        self,
        variationals: Sequence[VariationalCircuit],
        *,
        generator: torch.Generator | None = None,
        weights_as_inputs: int = 0,
    ) -> None:
        """Make a control of each circuit."""
        super().__init__()
        self.layers = nn.ModuleList(
            ControlLayer(v, generator=generator, weights_as_inputs=weights_as_inputs)
            for v in variationals
        )

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return (..., num_outputs) for each circuit's inputs (..., num_inputs)."""
        pairs = zip(self.layers, inputs, strict=True)
        return [cast("Tensor", layer(features)) for layer, features in pairs]


def circuit_bank(
    variationals: Sequence[VariationalCircuit],
    backend: Backend,
    weights_as_inputs: int = 0,
    **options: Unpack[Options],
) -> CircuitBank | ControlBank:
    """Return the circuits of one place, or their controls.

    Args:
        variationals: At least one circuit.
        backend: Where circuits run; controls need none.
        weights_as_inputs: How many of the last inputs are weights that come with each sample.
        **options: See `Options`; initial weights are drawn the same way for both.
    """
    generator = options.get("generator")
    if options.get("control"):
        return ControlBank(variationals, generator=generator, weights_as_inputs=weights_as_inputs)
    gradient = options.get("gradient")
    return CircuitBank(list(variationals), backend, gradient=gradient, generator=generator)


def circuit_places(model: nn.Module) -> list[nn.Module]:
    """Return the modules that give a model its circuits' outputs, or those of their controls."""
    controls = [module for module in model.modules() if isinstance(module, ControlBank)]
    return [*circuit_modules(model), *controls]
