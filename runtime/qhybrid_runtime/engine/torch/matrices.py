from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.engine.by_dtype import ByDtype, OnDevice
from qhybrid_runtime.engine.coefficients import ONE, ZERO, Coefficients
from qhybrid_runtime.engine.fusion import Block, Plan
from qhybrid_runtime.engine.gates import gate_series
from qhybrid_runtime.engine.program import Operation, Source

#: Real dtype of inputs and weights -> the dtype of amplitudes.
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}

#: Entries of the Pauli matrices in the order of their codes: I, X, Y, Z. Y is Z after X here, which
#: differs by a phase that no expectation value sees.
_PAULI_VALUES = OnDevice(torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, -1, 0], [1, 0, 0, -1]]))


class _Series:
    """The values of gates with one number of angles."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        """Stack the gates' series; all must have a formula."""
        series = [gate_series(str(operation.base)) for operation in operations]
        terms = max(s.coefficients.shape[1] for s in series)
        pads = [(0, terms - s.coefficients.shape[1]) for s in series]
        counts = [len(s.coefficients) for s in series]
        columns = np.repeat([operation.angles for operation in operations], counts, axis=0)
        self._columns = OnDevice(torch.from_numpy(columns))
        self._coefficients = np.concatenate(
            [np.pad(s.coefficients, ((0, 0), p)) for s, p in zip(series, pads, strict=True)]
        )
        self._frequencies = np.concatenate(
            [np.pad(s.frequencies, ((0, 0), p, (0, 0))) for s, p in zip(series, pads, strict=True)]
        )
        self._tensors = ByDtype[tuple[Tensor, Tensor]]()

    def __call__(self, angles: Tensor) -> Tensor:
        """Return values (n_values, ...) at angles (n_angles, ...)."""
        like = (1,) * (angles.dim() - 1)
        coefficients, frequencies = self._tensors.get(angles, self._tensors_like)
        columns = self._columns.on(angles.device)
        turns = sum(
            (
                angles.index_select(0, columns[:, j])[:, None]
                * frequencies[:, :, j].reshape(*coefficients.shape, *like)
                for j in range(columns.shape[1])
            ),
            angles.new_zeros(()),
        )
        waves = torch.complex(torch.cos(turns), torch.sin(turns))
        return (coefficients.reshape(*coefficients.shape, *like) * waves).sum(1)

    def _tensors_like(self, like: Tensor) -> tuple[Tensor, Tensor]:
        coefficients = torch.as_tensor(self._coefficients).to(like.device, COMPLEX[like.dtype])
        return coefficients, torch.as_tensor(self._frequencies).to(like)


class ValueTable(Coefficients):
    """`Coefficients` in torch: constants, then functions of angles, then Pauli matrices."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        super().__init__(operations)
        self._series = [(source, _Series(members)) for source, members in self.series]
        sites = [op.angles[0] for op in self.errors]
        self._sites = OnDevice(torch.tensor(sites, dtype=torch.int64))
        self._constants = ByDtype[Tensor]()

    def __call__(self, angles: dict[Source, Tensor], codes: Tensor | None, like: Tensor) -> Tensor:
        """Return the values (n_values, ...) in the shape and on the torch device of `like` (...).

        The angles are tables (n_angles, ...) that broadcast with `like`, the Pauli operators
        (n_sites, ...).
        """
        dtype, trailing = COMPLEX[like.dtype], (1,) * like.dim()
        constants = self._constants.get(like, self._constants_like)
        parts = [constants.reshape(-1, *trailing).expand(-1, *like.shape)]
        for source, series in self._series:
            parts.append(series(angles[source]).expand(-1, *like.shape))
        if self.errors:
            if codes is None:
                picked = like.new_zeros((len(self.errors), *like.shape), dtype=torch.int64)
            else:
                picked = codes.index_select(0, self._sites.on(codes.device)).long()
            values = _PAULI_VALUES.on(like.device)[picked].movedim(-1, 1)
            parts.append(values.flatten(0, 1).to(dtype))
        return torch.cat(parts)

    def _constants_like(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.constants).to(like.device, COMPLEX[like.dtype])


class Stack(NamedTuple):
    """Blocks whose matrices come as one tensor."""

    blocks: tuple[int, ...]  # Their indices in the plan; those of more operations come first.
    differs: bool  # Whether the matrices differ from sample to sample.
    # Rows of the value table for the first operation of each block, then for the second of those
    # that have one, and so on; shape (n, D, D) each.
    rounds: tuple[OnDevice, ...]


class MatrixBuilder:
    """All matrices of a plan as differentiable functions of a call's angles.

    Entries are computed once for all gates, put together to matrices by looking them up, and the
    matrices of a block are multiplied together with those of all other blocks of its size. So the
    cost is that of a few tensor operations, whatever the number of gates and of kinds of gates.
    Samples are innermost throughout.

    Attributes:
        stacks: What the tensors that `build` returns hold.
    """

    def __init__(self, plan: Plan) -> None:
        """Prepare the look-ups."""
        self._plan = plan
        alike: dict[tuple[bool, int], list[int]] = defaultdict(list)
        for index, block in enumerate(plan.blocks):
            alike[block.differs, len(block.targets)].append(index)
        operations: dict[bool, list[Operation]] = {False: [], True: []}
        for block in plan.blocks:
            operations[block.differs] += block.operations
        operations[True] += [operation for run in plan.starts for operation in run]
        self._tables = {differs: ValueTable(ops) for differs, ops in operations.items()}
        self.stacks = tuple(
            self._stack(plan.blocks, members, differs) for (differs, _), members in alike.items()
        )
        runs = sorted(range(plan.num_qubits), key=lambda qubit: -len(plan.starts[qubit]))
        self._qubits = OnDevice(torch.from_numpy(np.argsort(runs)))
        self._starts = self._rounds(
            [(plan.starts[qubit], (qubit,)) for qubit in runs], self._tables[True]
        )
        # Only the first column of the first matrix acts on |0>.
        first = self._starts[0].tensor[:, :, 0] if self._starts else torch.empty(0, 2)
        zero = torch.tensor([[ONE, ZERO]]).expand(plan.num_qubits - len(first), 2)
        self._first_rows = OnDevice(torch.cat([first.long(), zero]).flatten())

    def _stack(self, blocks: Sequence[Block], members: Sequence[int], differs: bool) -> Stack:
        ordered = sorted(members, key=lambda index: -len(blocks[index].operations))
        sequences = [(blocks[index].operations, blocks[index].targets) for index in ordered]
        return Stack(tuple(ordered), differs, self._rounds(sequences, self._tables[differs]))

    def _rounds(
        self,
        sequences: Sequence[tuple[Sequence[Operation], Sequence[int]]],
        table: ValueTable,
    ) -> tuple[OnDevice, ...]:
        """Return the rows of each sequence's operations; sequences are sorted, longest first."""
        steps = max((len(operations) for operations, _ in sequences), default=0)
        rounds = (
            [table.index(ops[step], targets) for ops, targets in sequences if step < len(ops)]
            for step in range(steps)
        )
        return tuple(OnDevice(torch.from_numpy(np.stack(members))) for members in rounds)

    def build(
        self, weight_angles: Tensor, data_angles: Tensor, codes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the states of qubits on their own, (n, 2, G, B), and the matrices of the stacks.

        For each of `stacks` it is a tensor (n, D, D, G), or (n, D, D, G, B) where its blocks differ
        from sample to sample. The angles are (G, n_weight_angles) and (G, B, n_data_angles), the
        Pauli operators of error sites (n_sites, G, B), none where omitted. `start_state` makes the
        start state of the first.
        """
        shared: dict[Source, Tensor] = {"weights": weight_angles.movedim(-1, 0)}
        differing: dict[Source, Tensor] = {
            "weights": shared["weights"][..., None],
            "data": data_angles.movedim(-1, 0),
        }
        like = data_angles.new_empty(()).expand(data_angles.shape[:2])
        tables = {
            False: self._tables[False](shared, None, weight_angles.new_empty(len(weight_angles))),
            True: self._tables[True](differing, codes, like),
        }
        stacks = [_multiplied(stack.rounds, tables[stack.differs]) for stack in self.stacks]
        return self._qubit_states(tables[True]), stacks

    def _qubit_states(self, table: Tensor) -> Tensor:
        """Return (n_qubits, 2, ...) of values (n_values, ...)."""
        rows = self._first_rows.on(table.device)
        states = table.index_select(0, rows).reshape(len(rows) // 2, 2, *table.shape[1:])
        for index in self._starts[1:]:
            count = len(index.tensor)
            moved = (_looked_up(index, table) * states[:count, None]).sum(2)
            states = torch.cat([moved, states[count:]])
        if not self._starts:
            return states
        return states.index_select(0, self._qubits.on(table.device))


def _looked_up(index: OnDevice, table: Tensor) -> Tensor:
    """Return matrices (n, D, D, ...) whose entries are the rows `index` (n, D, D) of a table."""
    rows = index.on(table.device)
    return table.index_select(0, rows.flatten()).reshape(*rows.shape, *table.shape[1:])


def _multiplied(rounds: Sequence[OnDevice], table: Tensor) -> Tensor:
    """Return the products (n, D, D, ...) of the matrices of each block."""
    product = _looked_up(rounds[0], table)
    for index in rounds[1:]:
        count = len(index.tensor)
        matrices = _looked_up(index, table)
        longer = (matrices[:, :, :, None] * product[:count, None]).sum(2)
        product = longer if count == len(product) else torch.cat([longer, product[count:]])
    return product
