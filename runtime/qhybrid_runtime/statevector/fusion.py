"""How a program's gates are grouped into the blocks that an executor applies.

A pass over the state costs memory traffic, a product of small matrices nothing, so neighbouring
gates become one block where their qubits are few. What comes first, single-qubit gates on |0>
that carry data, is no pass at all: it is the product state that the evolution starts from.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from qhybrid_runtime.statevector.program import Operation, Program


class _HasQubits(Protocol):
    @property
    def qubits(self) -> tuple[int, ...]: ...


T = TypeVar("T", bound=_HasQubits)


@dataclass(frozen=True)
class Block:
    """Gates whose product is one matrix.

    Attributes:
        controls: Qubits on which all of the gates are controlled, in the same way.
        control_state: The controls' value in which the block acts.
        targets: Ascending; qubit j of them is bit j of the matrix's row index.
        operations: In the order in which they act.
        data: Whether the matrix differs from sample to sample.
    """

    controls: tuple[int, ...]
    control_state: int
    targets: tuple[int, ...]
    operations: tuple[Operation, ...]
    data: bool

    @property
    def qubits(self) -> tuple[int, ...]:
        """Controls, then targets."""
        return self.controls + self.targets

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for blocks whose matrices are computed by the same steps, so that they stack."""
        place = {qubit: index for index, qubit in enumerate(self.targets)}
        steps = tuple(
            (
                op.source,
                op.base,
                tuple(place.get(qubit, -1) for qubit in op.qubits),
                len(op.controls),
                op.control_state,
            )
            for op in self.operations
        )
        return (len(self.targets), bool(self.controls), self.data, steps)


@dataclass
class Group(Generic[T]):
    """Items that are applied together, and the qubits that they touch."""

    qubits: set[int]
    members: list[T]


def group_items(
    items: Sequence[T], num_qubits: int, fits: Callable[[Group[T], T], bool]
) -> list[Group[T]]:
    """Group items in order, moving each past others that act on other qubits only.

    Args:
        items: In the order in which they act.
        num_qubits: Qubits of the circuit.
        fits: Whether an item may join a group.

    Returns:
        Groups in an order in which they have the effect of the items.
    """
    groups: list[Group[T]] = []
    last = [-1] * num_qubits
    for item in items:
        # A group before the last one that touches the item's qubits is too early for it.
        first = max(0, *(last[qubit] for qubit in item.qubits))
        candidates = [i for i in range(first, len(groups)) if fits(groups[i], item)]
        touched = set(item.qubits)
        index = min(candidates, key=lambda i: len(touched - groups[i].qubits), default=-1)
        if index < 0:
            groups.append(Group(set(), []))
            index = len(groups) - 1
        groups[index].qubits |= touched
        groups[index].members.append(item)
        for qubit in touched:
            last[qubit] = index
    return groups


def light_cone(operations: Sequence[Operation], support: Collection[int]) -> list[Operation]:
    """Return the operations that can influence a measurement of the qubits in `support`."""
    reached = set(support)
    kept = []
    for operation in reversed(operations):
        if reached.intersection(operation.qubits):
            reached.update(operation.qubits)
            kept.append(operation)
    return kept[::-1]


def split_starts(
    operations: Sequence[Operation], num_qubits: int
) -> tuple[tuple[tuple[Operation, ...], ...], list[Operation]]:
    """Take off the single-qubit gates on |0> up to the last one that carries data.

    Returns:
        For each qubit these gates, maybe none, and all other operations in order.
    """
    runs: list[list[Operation]] = [[] for _ in range(num_qubits)]
    open_qubits = set(range(num_qubits))
    for operation in operations:
        if len(operation.qubits) == 1 and operation.qubits[0] in open_qubits:
            runs[operation.qubits[0]].append(operation)
        else:
            open_qubits.difference_update(operation.qubits)
    for run in runs:
        while run and run[-1].source != "data":
            run.pop()
    started = {id(operation) for run in runs for operation in run}
    rest = [operation for operation in operations if id(operation) not in started]
    return tuple(tuple(run) for run in runs), rest


@dataclass(frozen=True)
class Plan:
    """A program as blocks after a product state.

    Attributes:
        num_qubits: Qubits of the program.
        starts: For each qubit the gates that make its start state from |0>.
        blocks: The rest, in an order in which they may act.
    """

    num_qubits: int
    starts: tuple[tuple[Operation, ...], ...]
    blocks: tuple[Block, ...]


def plan_dense_blocks(program: Program, support: Collection[int], max_qubits: int) -> Plan:
    """Plan for an executor that multiplies states by dense matrices of up to `max_qubits` qubits.

    Args:
        program: What to compute.
        support: The qubits that are measured.
        max_qubits: A gate of more qubits is a block of its own.
    """

    def fits(group: Group[Operation], operation: Operation) -> bool:
        joined = len(group.qubits.union(operation.qubits))
        carries_data = any(member.source == "data" for member in group.members)
        if carries_data or operation.source == "data":
            # A matrix of its own for each sample costs as much as the state where it is large.
            return carries_data and joined == len(group.qubits)
        return joined <= max(max_qubits, len(group.qubits))

    operations = light_cone(program.operations, support)
    starts, rest = split_starts(operations, program.num_qubits)
    groups = group_items(rest, program.num_qubits, fits)
    return Plan(program.num_qubits, starts, tuple(_dense(group) for group in groups))


def _dense(group: Group[Operation]) -> Block:
    data = any(member.source == "data" for member in group.members)
    return Block((), 0, tuple(sorted(group.qubits)), tuple(group.members), data)


def plan_controlled_blocks(program: Program, support: Collection[int]) -> Plan:
    """Plan for an executor that makes use of controls: gates merge where both agree on them.

    Uncontrolled gates merge within two qubits. CRZ then CRX on one pair is one 2x2 matrix that
    acts on half of the amplitudes.
    """

    def fits(group: Group[Operation], operation: Operation) -> bool:
        first = group.members[0]
        data = operation.source == "data"
        if any((member.source == "data") != data for member in group.members):
            return False
        if operation.controls or first.controls:
            return _condition(first) == _condition(operation)
        return group.qubits.issuperset(operation.qubits)

    operations = light_cone(program.operations, support)
    starts, rest = split_starts(operations, program.num_qubits)
    groups = group_items(rest, program.num_qubits, fits)
    return Plan(program.num_qubits, starts, tuple(_controlled(group) for group in groups))


def _condition(operation: Operation) -> tuple[object, ...]:
    return (operation.controls, operation.control_state, frozenset(operation.targets))


def _controlled(group: Group[Operation]) -> Block:
    first = group.members[0]
    if not first.controls:
        return _dense(group)
    data = first.source == "data"
    targets = tuple(sorted(first.targets))
    return Block(first.controls, first.control_state, targets, tuple(group.members), data)


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
