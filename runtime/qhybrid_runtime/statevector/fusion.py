"""How a program's gates are grouped into the blocks that the executor applies.

A pass over the state costs memory traffic, a product of small matrices nothing, so neighbouring
gates become one matrix where their qubits are few. What comes first, single-qubit gates on |0>
that carry data, is no pass at all: it is the product state that the evolution starts from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qhybrid_runtime.statevector.program import Operation, Program

#: Qubits a block of sample-independent gates may have: 16x16 matrices suit matrix products.
MAX_BLOCK_QUBITS = 4


@dataclass(frozen=True)
class Block:
    """Gates that are applied to the state as one matrix.

    Attributes:
        qubits: Ascending; qubit j of the block is bit j of its matrix's row index.
        operations: In the order in which they act.
        data: Whether the matrix differs from sample to sample.
    """

    qubits: tuple[int, ...]
    operations: tuple[Operation, ...]
    data: bool

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for blocks whose matrices are computed by the same steps, so that they stack."""
        place = {qubit: index for index, qubit in enumerate(self.qubits)}
        steps = tuple(
            (operation.source, operation.kind, tuple(place[q] for q in operation.qubits))
            for operation in self.operations
        )
        return (len(self.qubits), self.data, steps)


@dataclass(frozen=True)
class Plan:
    """The blocks of a program, in order, after the product state that they start from.

    Attributes:
        starts: For each qubit the single-qubit gates that act on |0> before anything else does;
            empty where none of them carries data.
        blocks: The rest.
    """

    starts: tuple[tuple[Operation, ...], ...]
    blocks: tuple[Block, ...]


def plan_blocks(program: Program, max_qubits: int = MAX_BLOCK_QUBITS) -> Plan:
    """Group the gates of a program into blocks of at most `max_qubits` qubits."""
    starts, rest = _split_starts(program)
    blocks: list[_OpenBlock] = []
    last = [-1] * program.num_qubits
    for operation in rest:
        touched = set(operation.qubits)
        after = max((last[qubit] for qubit in touched), default=-1)
        index = _block_that_takes(blocks, max(after, 0), touched, operation, max_qubits)
        if index is None:
            blocks.append(_OpenBlock(set(), [], operation.source == "data"))
            index = len(blocks) - 1
        blocks[index].qubits |= touched
        blocks[index].operations.append(operation)
        for qubit in touched:
            last[qubit] = index
    return Plan(starts, tuple(block.close() for block in blocks))


@dataclass
class _OpenBlock:
    qubits: set[int]
    operations: list[Operation]
    data: bool

    def takes(self, qubits: set[int], data: bool, max_qubits: int) -> bool:
        joined = len(self.qubits | qubits)
        if self.data or data:
            # A matrix of its own for each sample costs as much as the state where it is large.
            return self.data and joined == len(self.qubits)
        return joined <= max(max_qubits, len(self.qubits))

    def close(self) -> Block:
        return Block(tuple(sorted(self.qubits)), tuple(self.operations), self.data)


def _block_that_takes(
    blocks: Sequence[_OpenBlock],
    first: int,
    qubits: set[int],
    operation: Operation,
    max_qubits: int,
) -> int | None:
    """Return the block from `first` on that the operation may join, preferring one it fits in."""
    candidates = [
        index
        for index in range(first, len(blocks))
        if blocks[index].takes(qubits, operation.source == "data", max_qubits)
    ]
    return min(candidates, key=lambda i: len(qubits - blocks[i].qubits), default=None)


def _split_starts(
    program: Program,
) -> tuple[tuple[tuple[Operation, ...], ...], list[Operation]]:
    runs: list[list[Operation]] = [[] for _ in range(program.num_qubits)]
    open_qubits = set(range(program.num_qubits))
    for operation in program.operations:
        if len(operation.qubits) == 1 and operation.qubits[0] in open_qubits:
            runs[operation.qubits[0]].append(operation)
        else:
            open_qubits -= set(operation.qubits)
    for run in runs:
        while run and run[-1].source != "data":
            run.pop()
    started = {id(operation) for run in runs for operation in run}
    rest = [operation for operation in program.operations if id(operation) not in started]
    return tuple(tuple(run) for run in runs), rest


def embedding(places: Sequence[int], num_qubits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how a gate's matrix is spread over a block's.

    Args:
        places: The block's qubit that each of the gate's qubits is.
        num_qubits: Qubits of the block.

    Returns:
        Index (D, D) into the flattened gate matrix, and a mask (D, D) that is zero where the
        gate's idle qubits differ between row and column.
    """
    index = np.arange(1 << num_qubits)
    small = np.zeros_like(index)
    for bit, place in enumerate(places):
        small |= ((index >> place) & 1) << bit
    idle = index & ~sum(1 << place for place in places)
    width = 1 << len(places)
    return small[:, None] * width + small[None, :], (idle[:, None] == idle[None, :])
