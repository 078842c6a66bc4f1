"""How a program's gates are grouped into the blocks that an executor applies.

A pass over the state costs memory traffic, a product of small matrices nothing, so neighbouring
gates become one block where their qubits are few. What comes first, single-qubit gates on |0>
that carry data, is no pass at all: it is the product state that the evolution starts from.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from qhybrid_runtime.engine.patterns import Pattern, pattern_of
from qhybrid_runtime.engine.preparation import Preparation
from qhybrid_runtime.engine.program import Operation, Program, Source


class _HasQubits(Protocol):
    @property
    def qubits(self) -> tuple[int, ...]: ...


T = TypeVar("T", bound=_HasQubits)

#: What a block's matrix depends on, from its operations': each outdoes those before it.
_SOURCES: tuple[Source, ...] = ("constant", "weights", "data", "errors")


@dataclass(frozen=True)
class Block:
    """Gates whose product is one matrix."""

    controls: tuple[int, ...]  # Qubits on which all gates are controlled, in the same way.
    control_state: int  # The controls' value in which the block acts.
    targets: tuple[int, ...]  # Ascending; qubit j of them is bit j of the matrix's row index.
    operations: tuple[Operation, ...]  # In the order in which they act.

    @property
    def qubits(self) -> tuple[int, ...]:
        """Return controls, then targets."""
        return self.controls + self.targets

    @cached_property
    def source(self) -> Source:
        """Return what the matrix depends on."""
        return max((op.source for op in self.operations), key=_SOURCES.index)

    @property
    def differs(self) -> bool:
        """Return whether the matrix differs from sample to sample."""
        return self.source in ("data", "errors")

    @cached_property
    def pattern(self) -> Pattern:
        """Return where the matrix can have entries."""
        return pattern_of(self.operations, self.targets)

    @cached_property
    def cost(self) -> float:
        """Return the work per amplitude of the state."""
        return self.pattern.cost / (1 << len(self.controls))


def block_of(operations: Sequence[Operation]) -> Block:
    """Return operations as a block, its controls those that all of them agree on."""
    first = operations[0]
    if first.controls and len({_condition(operation) for operation in operations}) == 1:
        targets = tuple(sorted(first.targets))
        return Block(first.controls, first.control_state, targets, tuple(operations))
    return _dense(operations)


def _dense(operations: Sequence[Operation]) -> Block:
    qubits = {qubit for operation in operations for qubit in operation.qubits}
    return Block((), 0, tuple(sorted(qubits)), tuple(operations))


def _condition(operation: Operation) -> tuple[object, ...]:
    return (operation.controls, operation.control_state, frozenset(operation.targets))


@dataclass
class Group(Generic[T]):
    """Items that are applied together, and the qubits that they touch."""

    qubits: set[int]
    members: list[T]


def group_items(
    items: Sequence[T], num_qubits: int, fits: Callable[[Group[T], T], bool]
) -> list[Group[T]]:
    """Return groups in an order in which they have the effect of the items.

    Items, in the order in which they act, move past others that act on other qubits only; `fits`
    says whether one may join a group.
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
    operations: Sequence[Operation], num_qubits: int, prepared: Collection[int] = ()
) -> tuple[tuple[tuple[Operation, ...], ...], list[Operation]]:
    """Return each qubit's gates on |0> up to the last one that carries data, and all others.

    Both are in the order in which they act; qubits that are `prepared` do not start in |0>.
    """
    runs: list[list[Operation]] = [[] for _ in range(num_qubits)]
    open_qubits = set(range(num_qubits)).difference(prepared)
    for operation in operations:
        starts = len(operation.qubits) == 1 and operation.source != "errors"
        if starts and operation.qubits[0] in open_qubits:
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
    """A program as blocks after a product state."""

    num_qubits: int
    starts: tuple[tuple[Operation, ...], ...]  # The gates that make each qubit's state from |0>.
    blocks: tuple[Block, ...]  # The rest, in an order in which they may act.
    # Registers that start in states of their own; their qubits have no `starts`.
    preparations: tuple[Preparation, ...] = ()

    @property
    def single_qubits(self) -> tuple[int, ...]:
        """Return the qubits that are in no prepared register, ascending."""
        prepared = {qubit for preparation in self.preparations for qubit in preparation.qubits}
        return tuple(sorted(set(range(self.num_qubits)) - prepared))


def plan_dense_blocks(program: Program, support: Collection[int], max_qubits: int) -> Plan:
    """Plan for an executor that multiplies states by dense matrices of up to `max_qubits` qubits.

    A gate of more qubits is a block of its own; `support` are the qubits that are measured.
    """

    def fits(group: Group[Operation], operation: Operation) -> bool:
        joined = len(group.qubits.union(operation.qubits))
        carries_data = any(_differs(member) for member in group.members)
        if carries_data or _differs(operation):
            # A matrix of its own for each sample costs as much as the state where it is large.
            return carries_data and joined == len(group.qubits)
        return joined <= max(max_qubits, len(group.qubits))

    return _plan(program, support, fits, _dense)


def plan_single_targets(program: Program, support: Collection[int]) -> Plan:
    """Plan for an executor of 2x2 matrices, each on one target under any number of controls.

    Gates of one target and the same controls merge. A gate of more targets is a block of its own,
    which such an executor cannot apply.
    """

    def fits(group: Group[Operation], operation: Operation) -> bool:
        first = group.members[0]
        single = len(operation.targets) == 1 and _condition(first) == _condition(operation)
        return single and _differs(first) == _differs(operation)

    return _plan(program, support, fits, block_of)


def _differs(operation: Operation) -> bool:
    """Return whether an operation differs from sample to sample."""
    return operation.source in ("data", "errors")


#: Qubits within which gates are multiplied together, where that makes the state's sweep cheaper.
_MERGED_QUBITS = 2


def plan_sparse_blocks(program: Program, support: Collection[int]) -> Plan:
    """Plan for an executor that makes use of controls and zeros.

    Gates merge where their product takes less work than they take one after the other: CRZ then
    CRX on one pair is one 2x2 matrix that acts on half of the amplitudes.
    """

    known: dict[tuple[int, ...], Block] = {}

    def block(operations: Sequence[Operation]) -> Block:
        # What was tried becomes a group's own block where it fits; patterns take time.
        return known.setdefault(tuple(map(id, operations)), block_of(operations))

    def fits(group: Group[Operation], operation: Operation) -> bool:
        sources = {member.source for member in (*group.members, operation)}
        if "errors" in sources or sources >= {"data", "weights"}:
            # Errors are not multiplied; weights are multiplied once, not for every sample.
            return False
        merged = block([*group.members, operation])
        if not merged.controls and len(merged.targets) > _MERGED_QUBITS:
            return False
        return merged.cost <= block(group.members).cost + block([operation]).cost

    return _plan(program, support, fits, block)


def _plan(
    program: Program,
    support: Collection[int],
    fits: Callable[[Group[Operation], Operation], bool],
    block: Callable[[Sequence[Operation]], Block],
) -> Plan:
    operations = light_cone(program.operations, support)
    reached = set(support).union(*(operation.qubits for operation in operations))
    preparations = tuple(p for p in program.amplitudes.registers if reached.intersection(p.qubits))
    prepared = {qubit for preparation in preparations for qubit in preparation.qubits}
    starts, rest = split_starts(operations, program.num_qubits, prepared)
    groups = group_items(rest, program.num_qubits, fits)
    blocks = tuple(block(group.members) for group in groups)
    return Plan(program.num_qubits, starts, blocks, preparations)
