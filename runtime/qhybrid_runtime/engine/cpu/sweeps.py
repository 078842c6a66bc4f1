# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""The steps of a layout: forward from the start states, and back from the co-state."""

from qhybrid_runtime.engine.cpu import dense, gates, registers
from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.layout import JOIN
from qhybrid_runtime.engine.patterns import Kind

#: Kinds of parts as plain numbers, which compiled code takes as constants.
_PHASE, _EXCHANGE, _PAULI = int(Kind.PHASE), int(Kind.EXCHANGE), int(Kind.PAULI)
_REAL, _CROSS, _PAIR = int(Kind.REAL), int(Kind.CROSS), int(Kind.PAIR)


@compiled
def num_parts(layout, number):
    """Return the number of groups of amplitudes that a step can be divided into."""
    kind, _, bits, _, width, _, _ = layout.steps[number]
    return 1 if kind == JOIN else 1 << (bits - width)


@compiled
def forward_step(layout, number, task, state, scratch, start, stop):
    """Apply groups of amplitudes `start` to `stop` of step `number` to the state of all registers.

    `task` and `scratch` are a `Task` and a `Scratch` of `workspace.py`.
    """
    kind, register, _, place, width, first_gate, end_gate = layout.steps[number]
    if kind == JOIN:
        registers.join(state, layout.steps[number])
        return
    cached, offsets = scratch.cached, scratch.offsets
    places = layout.places[place : place + width]
    registers.group_offsets(places, offsets)
    for rest in range(start, stop):
        first = register + registers.spread_bits(rest, places)
        registers.gather(state, first, offsets, 1 << width, cached)
        apply_gates(layout, first_gate, end_gate, task, scratch)
        registers.scatter(cached, first, offsets, 1 << width, state)


@kernel
def apply_gates(layout, first, end, task, scratch):
    """Apply gates `first` to `end` to the cached group."""
    indices, matrix, cached = layout.indices, task.matrix, scratch.cached
    for number in range(first, end):
        kind, rows, at, _, table, start, length = layout.gates[number]
        bases = indices[start : start + length]
        if kind in (_REAL, _CROSS):
            cross = 1 if kind == _CROSS else 0
            gates.apply_rotation(cached, bases, indices[table + 1], cross, matrix, at)
        elif kind == _PAIR:
            gates.apply_pair(cached, bases, indices[table + 1], matrix, at)
        elif kind == _PHASE:
            gates.apply_phase(cached, bases, matrix, at)
        elif kind == _EXCHANGE:
            gates.exchange(cached, bases, indices[table + 1])
        elif kind == _PAULI:
            if task.active[at]:
                codes, offset = task.codes, indices[table + 1]
                gates.apply_pauli(cached, bases, offset, codes, at * LANES, False, scratch.lanes)
        else:
            offsets = indices[table : table + rows]
            dense.apply_dense(cached, bases, offsets, matrix, at, scratch.product)


@compiled
def backward_step(layout, number, task, state, costate, overlap, scratch, start, stop):
    """Undo `forward_step` on state and co-state, and add to `overlap`."""
    kind, register, _, place, width, first_gate, end_gate = layout.steps[number]
    if kind == JOIN:
        registers.unjoin(state, costate, layout.steps[number])
        return
    cached, cocached, offsets = scratch.cached, scratch.cocached, scratch.offsets
    places = layout.places[place : place + width]
    registers.group_offsets(places, offsets)
    for rest in range(start, stop):
        first = register + registers.spread_bits(rest, places)
        registers.gather(state, first, offsets, 1 << width, cached)
        registers.gather(costate, first, offsets, 1 << width, cocached)
        unapply_gates(layout, first_gate, end_gate, task, overlap, scratch)
        registers.scatter(cached, first, offsets, 1 << width, state)
        registers.scatter(cocached, first, offsets, 1 << width, costate)


@kernel
def unapply_gates(layout, first, end, task, overlap, scratch):
    """Take gates `end` - 1 down to `first` off the cached group and its co-state."""
    indices, matrix = layout.indices, task.matrix
    cached, cocached = scratch.cached, scratch.cocached
    for number in range(end - 1, first - 1, -1):
        kind, rows, at, wanted, table, start, length = layout.gates[number]
        bases = indices[start : start + length]
        offset = indices[table + rows - 1]
        if kind in (_REAL, _CROSS):
            cross = 1 if kind == _CROSS else 0
            gates.unapply_rotation(
                cached, cocached, bases, offset, cross, matrix, at, wanted, overlap
            )
        elif kind == _PAIR:
            gates.unapply_pair(cached, cocached, bases, offset, matrix, at, wanted, overlap)
        elif kind == _PHASE:
            gates.unapply_phase(cached, cocached, bases, matrix, at, wanted, overlap)
        elif kind == _EXCHANGE:
            gates.exchange(cached, bases, offset)
            gates.exchange(cocached, bases, offset)
        elif kind == _PAULI:
            if task.active[at]:
                codes, lanes = task.codes, scratch.lanes
                gates.apply_pauli(cached, bases, offset, codes, at * LANES, True, lanes)
                gates.apply_pauli(cocached, bases, offset, codes, at * LANES, True, lanes)
        else:
            offsets = indices[table : table + rows]
            product = scratch.product
            dense.unapply_dense(
                cached, cocached, bases, offsets, matrix, at, wanted, overlap, product
            )
