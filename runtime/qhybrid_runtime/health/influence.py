"""Measure how much of what a network does depends on what its circuits say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qhybrid_circuits.errors import CircuitError, ShapeError
from qhybrid_runtime.bank import CircuitBank
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.weight_table import WeightTable

WAYS = ("mean", "shuffled", "random", "zero")
"""Ways to change circuits, see `circuits_changed`."""


@dataclass(frozen=True)
class Change:
    """How much a network changes with its circuits.

    Attributes:
        output: Root mean square of the output's change, over the standard deviation of the output.
        loss: The loss's change over the loss, signed: above 0 it got worse. None without a loss.
        samples: For images drawn from the same noise, what `output` is for the output; None where
            none were drawn.
    """

    output: float
    loss: float | None = None
    samples: float | None = None


@dataclass(frozen=True)
class Influence:
    """How much a network changes in each of the ways of `circuits_changed`."""

    mean: Change
    shuffled: Change
    random: Change
    zero: Change

    def to_dict(self) -> dict[str, dict[str, float | None]]:
        """Return the figures as values that JSON has; `samples` only where there are any."""
        return {
            way: {key: v for key, v in change.items() if v is not None or key == "loss"}
            for way, change in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> "Influence":
        """Return what `to_dict` was called on."""
        return cls(**{way: Change(**values[way]) for way in WAYS})


def influence(
    model: nn.Module,
    arguments: Sequence[Tensor],
    loss: Callable[[Tensor], Tensor] | None = None,
    *,
    samples: Callable[[], Tensor] | None = None,
    modules: Sequence[nn.Module] | None = None,
    seed: int = 0,
) -> Influence:
    """Return how much a network's output, loss and samples change with its circuits.

    The circuits run where they run; on a backend that draws shots, their noise is a part of each
    change. The network's weights stay as they are.

    Args:
        model: Any module that holds circuits.
        arguments: What to call it with; the first dimension of each is the batch.
        loss: The loss, a scalar, of the model's output for these arguments.
        samples: Draws images with the model as it is when called, from the same noise every time.
        modules: What to change; the model's circuits where omitted. A network of other layers in
            the circuits' places has an influence of these layers.
        seed: Seed of the permutations and weights.

    Raises:
        CircuitError: There is nothing to change.
        ShapeError: There are fewer than two samples: one is its own mean.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> from qhybrid_runtime.health import influence
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Linear(2, 4), quantum_layer(circuit, get_backend("statevector"))
        ... )
        >>> influence(network, [torch.randn(8, 2)]).zero.output > 0
        True
    """
    if not arguments or min(len(each) for each in arguments) < 2:
        raise ShapeError("Argument `arguments` must have at least two samples, of a model's data")
    if not (circuit_modules(model) if modules is None else modules):
        raise CircuitError("the model has no circuits, whose influence could be measured")

    def figures() -> tuple[Tensor, float | None, Tensor | None]:
        output = model(*arguments)
        return output, loss and float(loss(output)), samples and samples()

    with torch.no_grad():
        usual = figures()
        found = {}
        for way in WAYS:
            with circuits_changed(model, way, modules=modules, seed=seed):
                output, its_loss, drawn = figures()
            found[way] = Change(
                relative_change(usual[0], output),
                _relative(usual[1], its_loss),
                None if usual[2] is None or drawn is None else relative_change(usual[2], drawn),
            )
    return Influence(**found)


def output_change(
    model: nn.Module,
    arguments: Sequence[Tensor],
    way: str,
    *,
    modules: Sequence[nn.Module] | None = None,
    seed: int = 0,
) -> float:
    """Return one figure of `influence`, the `output` of one way, for any number of samples."""
    with torch.no_grad():
        usual = model(*arguments)
        with circuits_changed(model, way, modules=modules, seed=seed):
            return relative_change(usual, model(*arguments))


def relative_change(usual: Tensor, changed: Tensor) -> float:
    """Return the root mean square of a change, over the standard deviation of what was before."""
    change = (usual - changed).square().mean().sqrt()
    return float(change / usual.std()) if change else 0.0


def circuit_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules that give a network its circuits' outputs: banks, and layers elsewhere."""
    banks = [module for module in model.modules() if isinstance(module, CircuitBank)]
    within = {id(layer) for bank in banks for layer in bank.layers}
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    return [*banks, *(layer for layer in layers if id(layer) not in within)]


@contextmanager
def circuits_changed(
    model: nn.Module, way: str, *, modules: Sequence[nn.Module] | None = None, seed: int = 0
) -> Iterator[None]:
    """Change what a network's circuits say for the time of a block.

    Args:
        model: Any module that holds circuits.
        way: `mean` replaces each output by its mean over the batch of an evaluation: no circuit
            tells one sample from another, but one that is evaluated at several positions may tell
            these apart, as biases could. `shuffled` gives each sample the outputs of a random one
            of the batch, the same for all circuits of a bank: permutation importance (Breiman
            2001). `random` has new weights, uniform in [0, 1) as those of a new layer are, for
            the circuits and for the rows of a `WeightTable`. `zero` has zeros for outputs.
        modules: What to change, see `influence`.
        seed: Seed of the permutations and weights.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import get_backend, quantum_layer
        >>> from qhybrid_runtime.health import circuits_changed
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Linear(2, 4), quantum_layer(circuit, get_backend("statevector"))
        ... )
        >>> with circuits_changed(network, "zero"):
        ...     network(torch.randn(8, 2)).abs().max().item()
        0.0
    """
    if modules is None:
        modules = circuit_modules(model)
    generator = torch.Generator().manual_seed(seed)
    if way == "random":
        with _random_weights(model, modules, generator):
            yield
        return

    replacements: dict[str, Callable[[Sequence[Tensor]], list[Tensor]]] = {
        "mean": _means,
        "shuffled": partial(_shuffled, generator),
        "zero": _zeros,
    }
    replace = replacements[way]

    def replace_outputs(_: nn.Module, __: object, outputs: Tensor | list[Tensor]) -> Any:
        return replace([outputs])[0] if isinstance(outputs, Tensor) else replace(outputs)

    hooks = [module.register_forward_hook(replace_outputs) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _means(outputs: Sequence[Tensor]) -> list[Tensor]:
    return [values.mean(0, keepdim=True).expand_as(values) for values in outputs]


def _shuffled(generator: torch.Generator, outputs: Sequence[Tensor]) -> list[Tensor]:
    order = torch.randperm(len(outputs[0]), generator=generator).to(outputs[0].device)
    return [values[order] for values in outputs]


def _zeros(outputs: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(values) for values in outputs]


@contextmanager
def _random_weights(
    model: nn.Module, modules: Sequence[nn.Module], generator: torch.Generator
) -> Iterator[None]:
    tables = [module for module in model.modules() if isinstance(module, WeightTable)]
    held = {id(p): p for module in (*modules, *tables) for p in module.parameters()}
    weights = [weight for weight in held.values() if weight.numel()]
    own = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight in weights:
                weight.copy_(torch.rand(weight.shape, generator=generator))
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, own, strict=True):
                weight.copy_(value)


def _relative(usual: float | None, changed: float | None) -> float | None:
    if usual is None or changed is None:
        return None
    return (changed - usual) / abs(usual) if changed != usual else 0.0
