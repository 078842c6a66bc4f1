"""A plan laid out for the kernels: where registers, blocks and matrices are, as integer tables.

A register is a set of qubits with a state of its own. Each qubit starts as one, unless several are
prepared together; a gate between two registers joins them. So the first gates of a circuit act on
small states, and amplitudes are multiplied out only when a gate needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qhybrid_runtime.engine.cpu.recipe import Recipe, RecipeWriter
from qhybrid_runtime.engine.fusion import Block, Group, Plan, group_items
from qhybrid_runtime.engine.patterns import Kind, Part

#: Qubits whose gates are applied together while their amplitudes are in the second-level cache:
#: 1,024 amplitudes of 16 samples, state and co-state, are 256 KiB in single precision.
CACHED_QUBITS = 10

#: Kinds of steps.
JOIN, APPLY = 0, 1


class JoinStep(NamedTuple):
    """Two registers become one, the first one's qubits its lower bits."""

    kind: int  # JOIN.
    low: int  # Offset of the first register.
    low_bits: int  # Number of its qubits.
    high: int
    high_bits: int
    joined: int  # Offset of the joined register.
    unused: int = 0


class ApplyStep(NamedTuple):
    """A group of gates acts on a register."""

    kind: int  # APPLY.
    offset: int  # Of the register.
    bits: int  # Number of its qubits.
    first_place: int  # In `Layout.places`: the group's bits of the register, ascending.
    width: int  # Number of them.
    first_gate: int  # In `Layout.gates`.
    end_gate: int


class GateRow(NamedTuple):
    """A part of a gate."""

    kind: int  # A `patterns.Kind`.
    rows: int  # Number of rows D.
    coefficient: int  # The first one; of a Pauli operator its error site.
    wanted: bool  # Whether the gradient is.
    first_offset: int  # In `Layout.indices`: the offsets of the D rows from the first one.
    first_base: int  # In `Layout.indices`: where the first row is within the group.
    num_bases: int


class Layout(NamedTuple):
    """What the kernels need to know of a plan.

    Amplitudes are numbered over all registers that ever exist; sizes are in amplitudes.
    """

    steps: np.ndarray  # A `JoinStep` or `ApplyStep` a row.
    gates: np.ndarray  # A `GateRow` a row.
    places: np.ndarray
    indices: np.ndarray
    start_size: int  # Of the registers that there are at the start, which come first.
    size: int  # Of all registers together.
    group_size: int  # Of the largest group.
    final: int  # Offset of the register that holds all qubits at the end.


@dataclass(frozen=True)
class _Register:
    offset: int
    qubits: tuple[int, ...]


@dataclass(frozen=True)
class _Placed:
    """A block with the register it acts on, as the set of its qubits."""

    block: Block
    index: int
    register: frozenset[int]

    @property
    def qubits(self) -> tuple[int, ...]:
        return self.block.qubits


def lay_out(plan: Plan) -> tuple[Layout, Recipe, tuple[int, ...]]:
    """Lay out blocks after a product state.

    Returns:
        The layout, how its coefficients follow from a call's angles, and the circuit's qubit that
        each bit of the final register is.
    """
    recipe = RecipeWriter(plan)
    groups = group_items(_place(plan), plan.num_qubits, _fits)
    writer = _Writer(plan, recipe)
    start_size = writer.size
    for group in groups:
        writer.apply(writer.join(group.members[0].register), group)
    last = writer.join(frozenset(range(plan.num_qubits)))
    layout = Layout(
        steps=np.array(writer.steps, dtype=np.int64).reshape(-1, len(ApplyStep._fields)),
        gates=np.array(writer.gates, dtype=np.int64).reshape(-1, len(GateRow._fields)),
        places=np.array(writer.places, dtype=np.int64),
        indices=np.array(writer.indices, dtype=np.int64),
        start_size=start_size,
        size=writer.size,
        group_size=writer.group_size,
        final=last.offset,
    )
    return layout, recipe.written(), last.qubits


def _place(plan: Plan) -> list[_Placed]:
    component = {qubit: frozenset([qubit]) for qubit in range(plan.num_qubits)}
    for preparation in plan.preparations:
        together = frozenset(preparation.qubits)
        component.update(dict.fromkeys(together, together))
    placed = []
    for index, block in enumerate(plan.blocks):
        joined = frozenset().union(*(component[qubit] for qubit in block.qubits))
        component.update(dict.fromkeys(joined, joined))
        placed.append(_Placed(block, index, joined))
    return placed


def _fits(group: Group[_Placed], placed: _Placed) -> bool:
    # A block that joins a group of a larger register would act on more amplitudes than it must.
    same_register = group.members[0].register == placed.register
    joined = len(group.qubits.union(placed.qubits))
    return same_register and joined <= max(CACHED_QUBITS, len(group.qubits))


def _padded(bits: Sequence[int], register: _Register) -> list[int]:
    """Return the bits of a group with the register's lowest ones added, while there is room.

    They take no gate, but the amplitudes that are copied to the cache together then stand together
    in memory.
    """
    free = [bit for bit in range(len(register.qubits)) if bit not in bits]
    return sorted([*bits, *free[: max(0, CACHED_QUBITS - len(bits))]])


class _Writer:
    def __init__(self, plan: Plan, recipe: RecipeWriter) -> None:
        self._recipe = recipe
        self.steps: list[JoinStep | ApplyStep] = []
        self.gates: list[GateRow] = []
        self.places: list[int] = []
        self.indices: list[int] = []
        self.size = 0
        self.group_size = 1
        self._register: dict[int, _Register] = {}
        # In the order of the recipe's start states.
        prepared = [preparation.qubits for preparation in plan.preparations]
        for qubits in [*((qubit,) for qubit in plan.single_qubits), *prepared]:
            self._register.update(dict.fromkeys(qubits, _Register(self.size, qubits)))
            self.size += 1 << len(qubits)

    def join(self, qubits: frozenset[int]) -> _Register:
        """Join registers until one holds `qubits`."""
        parts = {self._register[qubit] for qubit in qubits}
        while len(parts) > 1:
            # Small ones first: a joined register is written once in full.
            low, high = sorted(parts, key=lambda r: (len(r.qubits), r.offset))[:2]
            joined = _Register(self.size, low.qubits + high.qubits)
            self.size += 1 << len(joined.qubits)
            sources = (low.offset, len(low.qubits), high.offset, len(high.qubits))
            self.steps.append(JoinStep(JOIN, *sources, joined.offset))
            self._register.update(dict.fromkeys(joined.qubits, joined))
            parts = parts - {low, high} | {joined}
        return next(iter(parts))

    def apply(self, register: _Register, group: Group[_Placed]) -> None:
        """Write the step of a group, and its gates."""
        bits = _padded(sorted(register.qubits.index(qubit) for qubit in group.qubits), register)
        local = {register.qubits[bit]: place for place, bit in enumerate(bits)}
        first_gate, first_place = len(self.gates), len(self.places)
        self.places += bits
        for placed in group.members:
            self._block(placed, local, len(bits))
        self.group_size = max(self.group_size, 1 << len(bits))
        where = (register.offset, len(register.qubits), first_place, len(bits))
        self.steps.append(ApplyStep(APPLY, *where, first_gate, len(self.gates)))

    def _block(self, placed: _Placed, local: dict[int, int], width: int) -> None:
        block = placed.block
        targets = [1 << local[qubit] for qubit in block.targets]
        controls = [1 << local[qubit] for qubit in block.controls]
        on = sum(bit for i, bit in enumerate(controls) if block.control_state >> i & 1)
        fixed = sum(targets) + sum(controls)
        bases = [index for index in range(1 << width) if index & fixed == on]
        if block.source == "errors":
            site = block.operations[0].angles[0]
            self._gate(Part(Kind.PAULI, (0, 1)), site, False, targets, bases)
            return
        wanted = block.source != "constant"
        for part in block.pattern.parts:
            coefficient = self._recipe.pick(placed.index, part)
            self._gate(part, coefficient, wanted, targets, bases)

    def _gate(
        self, part: Part, coefficient: int, wanted: bool, targets: list[int], bases: list[int]
    ) -> None:
        rows = [sum(bit for i, bit in enumerate(targets) if row >> i & 1) for row in part.rows]
        first = len(self.indices)
        self.indices += [row - rows[0] for row in rows] + [base + rows[0] for base in bases]
        where = (first, first + len(rows), len(bases))
        self.gates.append(GateRow(part.kind, len(rows), coefficient, wanted, *where))
