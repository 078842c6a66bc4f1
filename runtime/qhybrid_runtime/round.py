"""One round of circuits, as a differentiable function of inputs and weights."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qhybrid_runtime.checks import check_finite
from qhybrid_runtime.engine_round import engine_values
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.method import GradientMethod, Point

if TYPE_CHECKING:
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN

    Values = Callable[
        [Sequence[BroadcastEstimatorQNN], Sequence[Tensor], Sequence[Tensor]], list[Tensor]
    ]


def evaluate_by_engine(
    networks: Sequence["BroadcastEstimatorQNN"],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """Return (B, n_outputs) for each circuit; those of one structure, batch and dtype are one
    call.

    Args:
        networks: One a circuit.
        inputs: Shape (B, n_inputs) each.
        weights: Shape (n_weights,) each.
    """
    if all(isinstance(network.gradient_method, Adjoint) for network in networks):
        # The engine's own derivative is the adjoint, and has the values' forward sweep already.
        return engine_values(networks, inputs, weights)
    return list(_Round.apply(engine_values, networks, *inputs, *weights))


def evaluate_by_estimator(
    networks: Sequence["BroadcastEstimatorQNN"],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """Return (B, n_outputs) for each circuit, from one job with one PUB a circuit.

    The arguments are those of `evaluate_by_engine`.

    Raises:
        NotFiniteError: An input or weight is NaN or infinite.
    """
    return list(_Round.apply(_estimator_values, networks, *inputs, *weights))


class _Round(torch.autograd.Function):
    """Values from anywhere, derivatives by the networks' gradient methods."""

    @staticmethod
    def forward(
        ctx: Any,
        values: "Values",
        networks: Sequence["BroadcastEstimatorQNN"],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.networks = networks
        ctx.save_for_backward(*tensors)
        return tuple(values(networks, tensors[: len(networks)], tensors[len(networks) :]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.networks)
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        points = [
            Point(network, tensors[i], tensors[count + i], needed[i], needed[count + i])
            for i, network in enumerate(ctx.networks)
        ]
        products: dict[int, tuple[Tensor | None, Tensor | None]] = {}
        for method, members in _by_method(points).items():
            found = method.products(
                [points[index] for index in members], [cotangents[index] for index in members]
            )
            products.update(zip(members, found, strict=True))
        by_inputs = [products[index][0] if needed[index] else None for index in range(count)]
        by_weights = [products[i][1] if needed[count + i] else None for i in range(count)]
        return (None, None, *by_inputs, *by_weights)


def _by_method(points: Sequence[Point]) -> dict[GradientMethod, list[int]]:
    """Return which points, of those that need a gradient, have each method."""
    members: dict[GradientMethod, list[int]] = defaultdict(list)
    for index, point in enumerate(points):
        if point.by_inputs or point.by_weights:
            members[point.network.gradient_method].append(index)
    return members


def _estimator_values(
    networks: Sequence["BroadcastEstimatorQNN"],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    pubs = [
        network.pub(_array("inputs", rows), _array("weights", vector))
        for network, rows, vector in zip(networks, inputs, weights, strict=True)
    ]
    result = networks[0].estimator.run(pubs).result()
    return [
        torch.as_tensor(np.asarray(pub.data.evs).T).to(rows)
        for pub, rows in zip(result, inputs, strict=True)
    ]


def _array(name: str, tensor: Tensor) -> np.ndarray:
    on_host = tensor.detach().cpu()
    check_finite(name, on_host)
    array: np.ndarray = on_host.double().numpy()
    return array
