# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""The steps of a layout: forward from the start states, and back from the co-state.

Names: `state` is |psi>, `costate` is what the derivative of the loss with respect to <psi| is
carried back in, `cached` and `cocached` are the parts of them that a group of gates acts on.
"""

from qhybrid_runtime.engine.cpu.dense import apply_dense, unapply_dense
from qhybrid_runtime.engine.cpu.gates import (
    apply_pair,
    apply_pauli,
    apply_phase,
    apply_rotation,
    exchange,
    unapply_pair,
    unapply_phase,
    unapply_rotation,
)
from qhybrid_runtime.engine.cpu.lanes import LANES, load, store
from qhybrid_runtime.engine.cpu.layout import JOIN
from qhybrid_runtime.engine.cpu.registers import (
    compiled,
    gather,
    group_offsets,
    join,
    scatter,
    spread_bits,
    unjoin,
)
from qhybrid_runtime.engine.patterns import Kind

#: Kinds of parts as plain numbers, which compiled code takes as constants.
_PHASE, _EXCHANGE, _PAULI = int(Kind.PHASE), int(Kind.EXCHANGE), int(Kind.PAULI)
_REAL, _CROSS, _PAIR = int(Kind.REAL), int(Kind.CROSS), int(Kind.PAIR)


@compiled
def set_starts(matrix, num_starts, state):
    """Write the start states: every qubit is a register at first, numbered like its state."""
    for vector in range(num_starts):
        store(state, vector, load(matrix, vector))


@compiled
def num_parts(step):
    """Return the number of groups of amplitudes that a step can be divided into."""
    return 1 if step[0] == JOIN else 1 << (step[2] - step[4])


@compiled
def forward_step(tables, number, matrix, codes, active, state, scratch, start, stop):
    """Apply groups `start` to `stop` of a step.

    Args:
        tables: Of the layout: steps, gates, places, tables.
        number: Of the step.
        matrix: Coefficients: four a qubit, its start state, then those of the gates.
        codes: Pauli operators, `LANES` an error site.
        active: Whether any sample has an error at a site.
        state: Amplitudes of all registers.
        scratch: Room for a group of amplitudes, its co-state and a product, for the indices of a
            group, and for three vectors.
        start: The first group.
        stop: The one after the last.
    """
    steps, _, places, _ = tables
    cached, _, _, offsets, _ = scratch
    step = steps[number]
    if step[0] == JOIN:
        join(state, step[1], step[2], step[3], step[4], step[5])
        return
    where = places[step[3] : step[3] + step[4]]
    count = 1 << len(where)
    group_offsets(where, offsets)
    for rest in range(start, stop):
        first = step[1] + spread_bits(rest, where)
        gather(state, first, offsets, count, cached)
        apply_gates(tables, step[5], step[6], matrix, codes, active, scratch)
        scatter(cached, first, offsets, count, state)


@compiled
def apply_gates(tables, first, last, matrix, codes, active, scratch):
    """Apply gates `first` to `last` to the cached group."""
    _, gates, _, indices = tables
    cached, _, product, _, lanes = scratch
    for number in range(first, last):
        kind, rows, at, _, table, start, length = gates[number]
        bases = indices[start : start + length]
        if kind in (_REAL, _CROSS):
            cross = 1 if kind == _CROSS else 0
            apply_rotation(cached, bases, indices[table + 1], cross, matrix, at)
        elif kind == _PAIR:
            apply_pair(cached, bases, indices[table + 1], matrix, at)
        elif kind == _PHASE:
            apply_phase(cached, bases, matrix, at)
        elif kind == _EXCHANGE:
            exchange(cached, bases, indices[table + 1])
        elif kind == _PAULI:
            if active[at]:
                apply_pauli(cached, bases, indices[table + 1], codes, at * LANES, False, lanes)
        else:
            apply_dense(cached, bases, indices[table : table + rows], matrix, at, product)


@compiled
def backward_step(
    tables, number, matrix, codes, active, state, costate, overlap, scratch, start, stop
):  # fmt: skip
    """Undo `forward_step` on state and co-state, and add to `overlap`."""
    steps, _, places, _ = tables
    cached, cocached, _, offsets, _ = scratch
    step = steps[number]
    if step[0] == JOIN:
        unjoin(state, costate, step[1], step[2], step[3], step[4], step[5])
        return
    where = places[step[3] : step[3] + step[4]]
    count = 1 << len(where)
    group_offsets(where, offsets)
    for rest in range(start, stop):
        first = step[1] + spread_bits(rest, where)
        gather(state, first, offsets, count, cached)
        gather(costate, first, offsets, count, cocached)
        unapply_gates(tables, step[5], step[6], matrix, codes, active, overlap, scratch)
        scatter(cached, first, offsets, count, state)
        scatter(cocached, first, offsets, count, costate)


@compiled
def unapply_gates(tables, first, last, matrix, codes, active, overlap, scratch):
    """Take gates `last` - 1 down to `first` off the cached group and its co-state."""
    _, gates, _, indices = tables
    cached, cocached, product, _, lanes = scratch
    for number in range(last - 1, first - 1, -1):
        kind, rows, at, wanted, table, start, length = gates[number]
        bases = indices[start : start + length]
        offset = indices[table + rows - 1]
        if kind in (_REAL, _CROSS):
            cross = 1 if kind == _CROSS else 0
            unapply_rotation(cached, cocached, bases, offset, cross, matrix, at, wanted, overlap)
        elif kind == _PAIR:
            unapply_pair(cached, cocached, bases, offset, matrix, at, wanted, overlap)
        elif kind == _PHASE:
            unapply_phase(cached, cocached, bases, matrix, at, wanted, overlap)
        elif kind == _EXCHANGE:
            exchange(cached, bases, offset)
            exchange(cocached, bases, offset)
        elif kind == _PAULI:
            if active[at]:
                apply_pauli(cached, bases, offset, codes, at * LANES, True, lanes)
                apply_pauli(cocached, bases, offset, codes, at * LANES, True, lanes)
        else:
            row_offsets = indices[table : table + rows]
            unapply_dense(
                cached, cocached, bases, row_offsets, matrix, at, wanted, overlap, product
            )
