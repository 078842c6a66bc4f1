from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qhybrid_circuits.caching import Cache, Identity
from qhybrid_runtime.health.circuit import dead_parameters
from qhybrid_runtime.health.derivatives import Derivatives
from qhybrid_runtime.health.influence import output_change
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.weight_table import WeightTable

#: Random output directions whose gradients are taken.
_DIRECTIONS = 2


@dataclass(frozen=True, kw_only=True)
class ModelHealth:
    """The weights and parameters of a network with circuits that get no gradient.

    Attributes:
        num_weights: Circuit weights of the whole network, those that enter as inputs included.
        dead_weights: Number of those that the network's output does not depend on.
        circuits: Number of circuits of the network.
        dead_circuits: Names of circuits all of whose weights are dead.
        parameters_without_gradient: Names of parameters outside the circuits that get no gradient
            at all: the path to them is broken, by a `detach` for instance.
        circuit_effect: How much the output changes where all outputs of circuits are zero, see
            `Change.output`; None where there are no circuits. It is small where the network does
            without the circuits, even if all their weights have a gradient.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import ModelHealth, get_backend, model_health, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"))
        >>> network = torch.nn.Sequential(torch.nn.Linear(2, 4), layer)
        >>> health = model_health(network, torch.randn(8, 2))
        >>> isinstance(health, ModelHealth), health.circuits
        (True, 1)
    """

    num_weights: int
    dead_weights: int
    circuits: int
    dead_circuits: tuple[str, ...]
    parameters_without_gradient: tuple[str, ...]
    circuit_effect: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON has."""
        fields = {name: list(v) if type(v) is tuple else v for name, v in asdict(self).items()}
        return {"weights": fields.pop("num_weights"), **fields}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelHealth":
        """Return what `to_dict` was called on."""
        fields: dict[str, Any] = {
            name: tuple(v) if type(v) is list else v for name, v in values.items()
        }
        return cls(num_weights=fields.pop("weights"), **fields)


def model_health(model: nn.Module, *arguments: Tensor, seed: int = 0) -> ModelHealth:
    """Return which parameters of a network get a gradient, by differentiating it once.

    A circuit's weight is dead where `dead_weights` finds it so, and all are where the circuit gets
    no gradient: its output is not used, or it is never evaluated. The weights in a column of a
    `WeightTable` are dead where the circuit's input is. Circuits should be exact, and weights not
    zero: nothing before a layer of zeros gets a gradient, rightly. Findings in single precision
    should be confirmed in double precision. The module's own gradients stay as they were.

    Args:
        model: Any module that holds `QuantumLayer`s.
        arguments: The arguments to call it with, in the dtype of its parameters.
        seed: Seed of the random directions in the space of outputs.

    Raises:
        CircuitError: A gate is not known to the engine.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, model_health, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"))
        >>> network = torch.nn.Sequential(torch.nn.Linear(2, 4), layer)
        >>> model_health(network, torch.randn(8, 2)).num_weights
        8
    """
    # A layer whose weights all enter as inputs has an empty tensor of its own.
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad and p.numel()}
    reached = _reached(model, arguments, list(parameters.values()), seed)
    by_name = dict(zip(parameters, reached, strict=True))
    holders = _holders_of_weights(model)
    layers = {f"{name}.weight" if name else "weight": layer for name, layer in holders}
    unreached = {name for name in layers if not by_name.get(name, True)}
    without = [name for name, found in by_name.items() if name not in layers and not found]
    return ModelHealth(
        num_weights=sum(layer.weight.numel() for layer in layers.values()),
        dead_weights=sum(
            layer.weight.numel() if name in unreached else _dead_weights(layer)
            for name, layer in layers.items()
        ),
        circuits=len(layers),
        dead_circuits=tuple(name.rpartition(".")[0] for name in layers if name in unreached),
        parameters_without_gradient=tuple(without),
        circuit_effect=output_change(model, arguments, "zero") if layers else None,
    )


_KNOWN: Cache[tuple[tuple[int, ...], tuple[int, ...]]] = Cache(256)


def _holders_of_weights(model: nn.Module) -> list[tuple[str, QuantumLayer | WeightTable]]:
    """Return the layers that have weights, and the tables of weights of layers."""
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    circuits = {id(layer.variational) for layer in layers}
    return [
        (name, module)
        for name, module in model.named_modules()
        if (isinstance(module, QuantumLayer) and module.weight.numel())
        or (isinstance(module, WeightTable) and id(module.variational) in circuits)
    ]


def _dead_weights(holder: QuantumLayer | WeightTable) -> int:
    """Return how many weights of a layer or a table are dead; each circuit is examined once."""
    variational, dtype = holder.variational, holder.weight.dtype
    weights, inputs = _KNOWN.get(
        (Identity(variational), dtype),
        lambda: dead_parameters(Derivatives(variational, dtype), np.random.default_rng(0)),
    )
    if isinstance(holder, QuantumLayer):
        return len(weights)
    columns = sum(index >= holder.first for index in inputs)
    return columns * (holder.weight.numel() // holder.num_columns)


def _reached(
    model: nn.Module, arguments: Sequence[Tensor], parameters: Sequence[Tensor], seed: int
) -> list[bool]:
    """Return for each parameter whether any of its entries gets a gradient that is not zero."""
    generator = torch.Generator().manual_seed(seed)
    reached = [False] * len(parameters)
    with torch.enable_grad():
        output = model(*arguments)
        for _ in range(_DIRECTIONS if output.requires_grad else 0):
            direction = torch.randn(output.shape, generator=generator).to(output)
            found = torch.autograd.grad(
                output, parameters, direction, retain_graph=True, allow_unused=True
            )
            for position, gradient in enumerate(found):
                if gradient is not None and bool(gradient.any()):
                    reached[position] = True
    return reached
