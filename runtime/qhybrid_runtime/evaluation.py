"""One round of circuits, as a differentiable function of inputs and weights."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qhybrid_runtime.checks import check_finite
from qhybrid_runtime.statevector.engine import expectations

if TYPE_CHECKING:
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN


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
    stacks: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, (network, rows) in enumerate(zip(networks, inputs, strict=True)):
        stacks[network.structure, rows.shape, rows.dtype, rows.device].append(index)
    values: dict[int, Tensor] = {}
    for members in stacks.values():
        first = networks[members[0]]
        stacked = expectations(
            first.program,
            first.observable_set,
            torch.stack([inputs[index] for index in members]),
            torch.stack([weights[index] for index in members]),
        )
        values.update(zip(members, stacked.unbind(0), strict=True))
    return [values[index] for index in range(len(networks))]


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
    values: tuple[Tensor, ...] = _EstimatorRound.apply(networks, *inputs, *weights)
    return list(values)


class _EstimatorRound(torch.autograd.Function):
    """Values from the networks' estimator, derivatives from the engine's adjoint pass."""

    @staticmethod
    def forward(
        ctx: Any, networks: Sequence["BroadcastEstimatorQNN"], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.networks = networks
        ctx.save_for_backward(*tensors)
        inputs, weights = tensors[: len(networks)], tensors[len(networks) :]
        pubs = [
            network.pub(_array("inputs", rows), _array("weights", vector))
            for network, rows, vector in zip(networks, inputs, weights, strict=True)
        ]
        result = networks[0].estimator.run(pubs).result()
        return tuple(
            torch.as_tensor(np.asarray(pub.data.evs).T).to(rows)
            for pub, rows in zip(result, inputs, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.networks)
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            values = evaluate_by_engine(ctx.networks, leaves[:count], leaves[count:])
        grads = torch.autograd.grad(values, leaves, cotangents, materialize_grads=True)
        return (None, *grads)


def _array(name: str, tensor: Tensor) -> np.ndarray:
    on_host = tensor.detach().cpu()
    check_finite(name, on_host)
    array: np.ndarray = on_host.double().numpy()
    return array
