from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.statevector.fusion import Block, Plan, embedding
from qhybrid_runtime.statevector.gates import CONTROLLED_MATRICES, controlled
from qhybrid_runtime.statevector.program import GateKind, Operation, Source

#: Real dtype of inputs and weights -> the dtype of amplitudes.
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class MatrixBuilder:
    """All block matrices of a plan as differentiable functions of a call's angles.

    Gates of one formula are evaluated together, and blocks that are made by the same steps are
    multiplied together, so that the cost is that of a few small tensor operations whatever the
    number of gates.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        stacks: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index, block in enumerate(plan.blocks):
            stacks[block.shape].append(index)
        self._stacks = list(stacks.values())
        operations = [op for block in plan.blocks for op in block.operations]
        operations += [op for start in plan.starts for op in start]
        self._by_kind: dict[tuple[Source, GateKind], list[Operation]] = defaultdict(list)
        for operation in operations:
            if operation.kind is not None:
                self._by_kind[operation.source, operation.kind].append(operation)
        self._row = {
            operation.key: row
            for same in self._by_kind.values()
            for row, operation in enumerate(same)
        }

    def build(
        self, weight_angles: Tensor, data_angles: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the start states of the qubits and the matrices of the blocks.

        Args:
            weight_angles: Shape (G, n_weight_angles), G weight sets.
            data_angles: Shape (G, B, n_data_angles).

        Returns:
            A tensor (G, B, 2) or (2,) a qubit, and a tensor (G, D, D), or (G, B, D, D) for a block
            that carries data, a block.
        """
        tables = {
            (source, kind): _kind_matrices(
                kind, same, weight_angles if source == "weights" else data_angles
            )
            for (source, kind), same in self._by_kind.items()
        }
        like = weight_angles
        starts = [self._start(run, tables, like) for run in self._plan.starts]
        blocks: list[Tensor | None] = [None] * len(self._plan.blocks)
        for stack in self._stacks:
            members = [self._plan.blocks[index] for index in stack]
            product = self._stack_product(members, tables, like)
            for index, matrix in zip(stack, product.unbind(-3), strict=True):
                blocks[index] = matrix
        return starts, [block for block in blocks if block is not None]

    def _start(
        self,
        run: Sequence[Operation],
        tables: dict[tuple[Source, GateKind], Tensor],
        like: Tensor,
    ) -> Tensor:
        state = torch.zeros(2, dtype=COMPLEX[like.dtype], device=like.device)
        state[0] = 1
        for operation in run:
            matrix = self._operation_matrices([operation], tables, like)[..., 0, :, :]
            if operation.source == "weights":
                matrix = matrix[:, None]
            state = (matrix * state[..., None, :]).sum(-1)
        return state

    def _stack_product(
        self,
        members: Sequence[Block],
        tables: dict[tuple[Source, GateKind], Tensor],
        like: Tensor,
    ) -> Tensor:
        """Return the product of each block's gates, (G, n, D, D) or (G, B, n, D, D)."""
        first = members[0]
        groups = like.shape[0]
        product: Tensor | None = None
        for step, operation in enumerate(first.operations):
            gates = [member.operations[step] for member in members]
            matrix = self._operation_matrices(gates, tables, like)
            if first.data and operation.source == "weights":
                matrix = matrix[:, None]
            places = tuple(first.qubits.index(qubit) for qubit in operation.qubits)
            matrix = _spread(matrix, places, len(first.qubits))
            product = matrix if product is None else matrix @ product
        if product is None:
            raise RuntimeError("a block holds at least one gate")
        lead = product.shape[:-3] if product.dim() > 3 else (groups,)
        return product.expand(*lead, *product.shape[-3:])

    def _operation_matrices(
        self,
        same: Sequence[Operation],
        tables: dict[tuple[Source, GateKind], Tensor],
        like: Tensor,
    ) -> Tensor:
        """Return (n, d, d) for constants, (G, n, d, d) or (G, B, n, d, d) for the others."""
        first = same[0]
        if first.kind is None:
            stacked = np.stack([op.matrix for op in same if op.matrix is not None])
            return torch.as_tensor(stacked).to(like.device, COMPLEX[like.dtype])
        rows = [self._row[operation.key] for operation in same]
        return tables[first.source, first.kind][..., rows, :, :]


def _kind_matrices(kind: GateKind, same: Sequence[Operation], angles: Tensor) -> Tensor:
    """Return the matrices of all gates of one formula, (..., n, d, d)."""
    columns = torch.tensor([operation.angles for operation in same], device=angles.device)
    matrix = CONTROLLED_MATRICES[kind.base](angles[..., columns])
    return controlled(matrix, kind.num_controls, kind.control_state)


def _spread(matrix: Tensor, places: tuple[int, ...], num_qubits: int) -> Tensor:
    """Return gate matrices (..., d, d) as matrices on all qubits of their block, (..., D, D)."""
    if places == tuple(range(num_qubits)):
        return matrix
    index, mask = _embedding_tensors(places, num_qubits, matrix.device)
    size = 1 << num_qubits
    spread = matrix.flatten(-2)[..., index] * mask
    return spread.reshape(*matrix.shape[:-2], size, size)


@lru_cache(maxsize=1024)
def _embedding_tensors(
    places: tuple[int, ...], num_qubits: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    index, mask = embedding(places, num_qubits)
    return (
        torch.as_tensor(index.reshape(-1), device=device),
        torch.as_tensor(mask.reshape(-1), device=device),
    )
