"""A plan laid out for the kernels: where registers, blocks and matrices are, as integer tables.

A register is a set of qubits with a state of its own. Each qubit starts as one, unless several are
prepared together; a gate between two registers joins them. So the first gates of a circuit act on
small states, and amplitudes are multiplied out only when a gate needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qhybrid_runtime.engine.cpu.recipe import Recipe, RecipeWriter
from qhybrid_runtime.engine.fusion import Block, Group, Plan, group_items
from qhybrid_runtime.engine.patterns import Kind, Part

#: Qubits whose gates are applied together while their amplitudes are in the second-level cache:
#: 1,024 amplitudes of 16 samples, state and co-state, are 256 KiB in single precision.
CACHED_QUBITS = 10

#: Kinds of steps, the first column of `Layout.steps`.
JOIN, APPLY = 0, 1


@dataclass(frozen=True)
class Layout:
    """What the kernels need to know of a plan.

    Amplitudes are numbered over all registers that ever exist; sizes are in amplitudes.

    Attributes:
        steps: Shape (n_steps, 7), the kind first. JOIN: offset and number of qubits of the low
            register, the same of the high one, offset of the joined one. APPLY: offset and number
            of qubits of the register, first entry in `places` and number of qubits of the group,
            first and last + 1 gate.
        gates: Shape (n_gates, 7): the kind of part (`patterns.Kind`), number of rows D, first
            coefficient (of a Pauli operator: its error site), whether the gradient is wanted, first
            entry in `tables` of the offsets of the D rows from the first one, first entry and
            number of indices of the first row within the group.
        places: Bits of the register, ascending, that groups are made of.
        tables: Row offsets and indices of the gates.
        recipe: How the coefficients follow from a call's angles.
        start_size: Amplitudes of the registers that there are at the start, which come first.
        size: Amplitudes of all registers together.
        final: Offset of the register that holds all qubits at the end.
        order: The circuit's qubit that each bit of the final register is.
    """

    steps: np.ndarray
    gates: np.ndarray
    places: np.ndarray
    tables: np.ndarray
    recipe: Recipe
    start_size: int
    size: int
    final: int
    order: tuple[int, ...]


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


def lay_out(plan: Plan) -> Layout:
    """Lay out blocks after a product state."""
    recipe = RecipeWriter(plan)
    groups = group_items(_place(plan), plan.num_qubits, _fits)
    writer = _Writer(plan, recipe)
    start_size = writer.size
    for group in groups:
        writer.apply(writer.join(group.members[0].register), group)
    last = writer.join(frozenset(range(plan.num_qubits)))
    return Layout(
        steps=np.array(writer.steps, dtype=np.int64).reshape(-1, 7),
        gates=np.array(writer.gates, dtype=np.int64).reshape(-1, 7),
        places=np.array(writer.places, dtype=np.int64),
        tables=np.array(writer.tables, dtype=np.int64),
        recipe=recipe.written(),
        start_size=start_size,
        size=writer.size,
        final=last.offset,
        order=last.qubits,
    )


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
        self.steps: list[tuple[int, ...]] = []
        self.gates: list[tuple[int, ...]] = []
        self.places: list[int] = []
        self.tables: list[int] = []
        self.size = 0
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
            shape = (low.offset, len(low.qubits), high.offset, len(high.qubits), joined.offset)
            self.steps.append((JOIN, *shape, 0))
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
        self.steps.append(
            (
                APPLY,
                register.offset,
                len(register.qubits),
                first_place,
                len(bits),
                first_gate,
                len(self.gates),
            )
        )

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
        table = len(self.tables)
        self.tables += [row - rows[0] for row in rows] + [base + rows[0] for base in bases]
        shape = (table, table + len(rows), len(bases))
        self.gates.append((part.kind, len(rows), coefficient, wanted, *shape))
