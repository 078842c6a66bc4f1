from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.statevector.fusion import Block, Plan, embedding
from qhybrid_runtime.statevector.gates import FORMULAS, controlled
from qhybrid_runtime.statevector.program import Operation, Source

#: Real dtype of inputs and weights -> the dtype of amplitudes.
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}

_Tables = dict[tuple[Source, str], Tensor]


class MatrixBuilder:
    """All matrices of a plan as differentiable functions of a call's angles.

    Gates of one formula are evaluated together, and blocks that are made by the same steps are
    multiplied together, so that the cost is that of a few small tensor operations whatever the
    number of gates.

    Attributes:
        stacks: For each stack of blocks the indices of its members in the plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        by_shape: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index, block in enumerate(plan.blocks):
            by_shape[block.shape].append(index)
        self.stacks = tuple(tuple(indices) for indices in by_shape.values())
        by_run: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for qubit, run in enumerate(plan.starts):
            by_run[tuple((op.source, op.base) for op in run)].append(qubit)
        self._runs = tuple(tuple(qubits) for qubits in by_run.values())
        order = [q for qubits in self._runs for q in qubits]
        self._qubit_order = None if order == sorted(order) else torch.as_tensor(np.argsort(order))
        self._by_formula: dict[tuple[Source, str], list[Operation]] = defaultdict(list)
        operations = [op for block in plan.blocks for op in block.operations]
        for operation in [*operations, *(op for run in plan.starts for op in run)]:
            if operation.base is not None:
                self._by_formula[operation.source, operation.base].append(operation)
        self._columns = {
            key: torch.tensor([op.angles for op in same]) for key, same in self._by_formula.items()
        }
        self._kept: tuple[Tensor, dict[int, Tensor], _Tables] | None = None
        self._row = {
            operation.key: row
            for same in self._by_formula.values()
            for row, operation in enumerate(same)
        }

    def build(self, weight_angles: Tensor, data_angles: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the start states of the qubits and the matrices of the stacks.

        Args:
            weight_angles: Shape (G, n_weight_angles), G weight sets.
            data_angles: Shape (G, B, n_data_angles).

        Returns:
            Start states (G, B, n_qubits, 2), and for each of `stacks` a tensor (G, n, D, D), or
            (G, B, n, D, D) where its blocks carry data.
        """
        shared, tables = self._from_weights(weight_angles)
        tables = tables | self._tables("data", data_angles)
        lead = data_angles.shape[:2]
        starts = [
            self._start([self._plan.starts[q] for q in qubits], tables, weight_angles).expand(
                *lead, len(qubits), 2
            )
            for qubits in self._runs
        ]
        in_order = torch.cat(starts, dim=2)
        if self._qubit_order is not None:
            in_order = in_order.index_select(2, self._qubit_order.to(in_order.device))
        stacks = [
            shared[index]
            if index in shared
            else self._product([self._plan.blocks[i] for i in stack], tables, weight_angles)
            for index, stack in enumerate(self.stacks)
        ]
        return in_order, stacks

    def _from_weights(self, weight_angles: Tensor) -> tuple[dict[int, Tensor], _Tables]:
        """Return the stacks that depend on weights alone, by index, and the tables behind them.

        While sampling, where nothing is differentiated, they are those of the last call. In a
        device's memory they are made anew: comparing the angles would make the host wait.
        """
        reusable = not torch.is_grad_enabled() and weight_angles.device.type == "cpu"
        kept = self._kept
        if (
            reusable
            and kept is not None
            and kept[0].dtype == weight_angles.dtype
            and torch.equal(kept[0], weight_angles)
        ):
            return kept[1], kept[2]
        tables = self._tables("weights", weight_angles)
        shared = {
            index: self._product([self._plan.blocks[i] for i in stack], tables, weight_angles)
            for index, stack in enumerate(self.stacks)
            if not self._plan.blocks[stack[0]].data
        }
        if reusable:
            self._kept = (weight_angles.clone(), shared, tables)
        return shared, tables

    def _tables(self, source: Source, angles: Tensor) -> _Tables:
        """Return the matrices of all gates of each formula, (..., n_gates, d, d)."""
        return {
            key: FORMULAS[key[1]](angles[..., columns])
            for key, columns in self._columns.items()
            if key[0] == source
        }

    def _start(
        self, runs: Sequence[tuple[Operation, ...]], tables: _Tables, like: Tensor
    ) -> Tensor:
        """Return the states (..., n, 2) after runs of gates that are alike."""
        state = torch.zeros(len(runs), 2, dtype=COMPLEX[like.dtype], device=like.device)
        state[:, 0] = 1
        for step in range(len(runs[0])):
            same = [run[step] for run in runs]
            matrix = self._matrices(same, tables, like)
            if same[0].source == "weights":
                matrix = matrix[:, None]
            state = (matrix * state[..., None, :]).sum(-1)
        return state

    def _product(self, members: Sequence[Block], tables: _Tables, like: Tensor) -> Tensor:
        """Return the product of each block's gates, (G, n, D, D) or (G, B, n, D, D)."""
        first = members[0]
        product: Tensor | None = None
        for step, operation in enumerate(first.operations):
            same = [member.operations[step] for member in members]
            matrix = self._matrices(same, tables, like)
            if first.data and operation.source == "weights":
                matrix = matrix[:, None]
            qubits = operation.targets
            if not first.controls:
                matrix = controlled(matrix, len(operation.controls), operation.control_state)
                qubits = operation.qubits
            places = tuple(first.targets.index(qubit) for qubit in qubits)
            matrix = _spread(matrix, places, len(first.targets))
            product = matrix if product is None else matrix @ product
        if product is None:
            raise RuntimeError("a block holds at least one gate")
        lead = product.shape[:-3] if product.dim() > 3 else (like.shape[0],)
        return product.expand(*lead, *product.shape[-3:])

    def _matrices(self, same: Sequence[Operation], tables: _Tables, like: Tensor) -> Tensor:
        """Return (n, d, d) for constants, (G, n, d, d) or (G, B, n, d, d) for the others."""
        first = same[0]
        if first.base is None:
            stacked = np.stack([op.matrix for op in same if op.matrix is not None])
            return torch.as_tensor(stacked).to(like.device, COMPLEX[like.dtype])
        rows = [self._row[operation.key] for operation in same]
        table = tables[first.source, first.base]
        # Taking all rows in order is no work; indexing copies, and scatters in the backward pass.
        if rows == list(range(table.shape[-3])):
            return table
        return table[..., rows, :, :]


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
    # What is made in inference mode could not be used in training afterwards.
    with torch.inference_mode(False):
        return (
            torch.as_tensor(index.reshape(-1), device=device),
            torch.as_tensor(mask.reshape(-1), device=device),
        )
