from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qhybrid_runtime.engine.expectations import expectations

if TYPE_CHECKING:
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN


def engine_values(
    networks: Sequence["BroadcastEstimatorQNN"],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """Return (B, n_outputs) for each circuit, differentiable; equal structures are one call.

    Circuits are stacked where structure, batch and dtype are the same.

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
