# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Whole evaluations of a layout: forward to expectation values, and back to gradients.

A task is `LANES` samples of one weight set. A task needs one state, and one co-state for gradients,
whatever the number of gates or samples, and they are the calling thread's own.
"""

import numpy as np

from qhybrid_runtime.statevector.cpu.kernels import (
    apply_pairs,
    apply_rows,
    compiled,
    gather,
    group_offsets,
    join,
    scatter,
    spread_bits,
    unapply_pairs,
    unapply_rows,
    unjoin,
)
from qhybrid_runtime.statevector.cpu.lanes import LANES, load, splat, store
from qhybrid_runtime.statevector.cpu.layout import JOIN


@compiled
def forward(steps, gates, places, tables, starts, matrix, state, cached, product, offsets):
    """Evolve the registers from the start states, vectors (4 a qubit), through all steps."""
    for vector in range(len(starts) // LANES):
        store(state, vector, load(starts, vector))
    for step in steps:
        if step[0] == JOIN:
            join(state, step[1], step[2], step[3], step[4], step[5])
            continue
        where = places[step[3] : step[3] + step[4]]
        count = 1 << len(where)
        group_offsets(where, offsets)
        for rest in range(1 << (step[2] - len(where))):
            first = step[1] + spread_bits(rest, where)
            gather(state, first, offsets, count, cached)
            for index in range(step[5], step[6]):
                rows, at, table, start, length = gates[index]
                bases = tables[start : start + length]
                if rows == 2:
                    apply_pairs(cached, bases, tables[table + 1], matrix, at)
                else:
                    apply_rows(cached, bases, tables[table : table + rows], matrix, at, product)
            scatter(cached, first, offsets, count, state)


@compiled
def backward(
    steps,
    gates,
    places,
    tables,
    matrix,
    state,
    costate,
    overlap,
    cached,
    cocached,
    product,
    offsets,
):
    """Carry the co-state of the last register back to the start states, and fill `overlap`."""
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if step[0] == JOIN:
            unjoin(state, costate, step[1], step[2], step[3], step[4], step[5])
            continue
        where = places[step[3] : step[3] + step[4]]
        count = 1 << len(where)
        group_offsets(where, offsets)
        for rest in range(1 << (step[2] - len(where))):
            first = step[1] + spread_bits(rest, where)
            gather(state, first, offsets, count, cached)
            gather(costate, first, offsets, count, cocached)
            for index in range(step[6] - 1, step[5] - 1, -1):
                rows, at, table, start, length = gates[index]
                bases = tables[start : start + length]
                if rows == 2:
                    offset = tables[table + 1]
                    unapply_pairs(cached, cocached, bases, offset, matrix, at, overlap)
                else:
                    row_offsets = tables[table : table + rows]
                    unapply_rows(cached, cocached, bases, row_offsets, matrix, at, overlap, product)
            scatter(cached, first, offsets, count, state)
            scatter(cocached, first, offsets, count, costate)


@compiled
def measure(state, final, diagonal, moves, rows, phases, values):
    """Add up expectation values, one vector an observable.

    Args:
        state: Amplitudes; those of the last register start at `final`.
        final: See above.
        diagonal: Shape (2**n, n_obs): the eigenvalues of the diagonal parts.
        moves: Shape (n_terms, 3): XOR of a term's amplitudes, first and last + 1 entry in `rows`.
        rows: The observable that each row of `phases` belongs to.
        phases: Shape (n_rows, 2**n, 2), the non-diagonal parts.
        values: Shape (n_obs * LANES,), to add to.
    """
    amplitudes, count = diagonal.shape
    for k in range(amplitudes):
        xr, xi = load(state, 2 * (final + k)), load(state, 2 * (final + k) + 1)
        probability = xr * xr + xi * xi
        for row in range(count):
            store(values, row, load(values, row) + splat(diagonal[k, row]) * probability)
    for move, first, last in moves:
        for k in range(amplitudes):
            source, target = 2 * (final + k), 2 * (final + (k ^ move))
            xr, xi = load(state, source), load(state, source + 1)
            yr, yi = load(state, target), load(state, target + 1)
            real, imag = yr * xr + yi * xi, yr * xi - yi * xr
            for index in range(first, last):
                pr, pi = splat(phases[index, k, 0]), splat(phases[index, k, 1])
                row = rows[index]
                store(values, row, load(values, row) + (pr * real - pi * imag))


@compiled
def start_costate(state, final, diagonal, moves, rows, phases, cotangents, costate):
    """Write 2 * sum_i c_i O_i |state> for cotangents c, one vector an observable."""
    amplitudes, count = diagonal.shape
    for k in range(amplitudes):
        xr, xi = load(state, 2 * (final + k)), load(state, 2 * (final + k) + 1)
        weight = xr - xr
        for row in range(count):
            weight += splat(diagonal[k, row]) * load(cotangents, row)
        weight += weight
        store(costate, 2 * (final + k), weight * xr)
        store(costate, 2 * (final + k) + 1, weight * xi)
    for move, first, last in moves:
        for k in range(amplitudes):
            source, target = 2 * (final + k), 2 * (final + (k ^ move))
            xr, xi = load(state, source), load(state, source + 1)
            real, imag = xr - xr, xr - xr
            for index in range(first, last):
                cotangent = load(cotangents, rows[index])
                cotangent += cotangent
                real += splat(phases[index, k, 0]) * cotangent
                imag += splat(phases[index, k, 1]) * cotangent
            store(costate, target, load(costate, target) + (real * xr - imag * xi))
            store(costate, target + 1, load(costate, target + 1) + (real * xi + imag * xr))


@compiled
def fill_matrix(shared, data, matrix):
    """Write matrix coefficients as vectors: those that all samples share, then the others."""
    for index in range(len(shared)):
        store(matrix, index, splat(shared[index]))
    for index in range(len(data) // LANES):
        store(matrix, len(shared) + index, load(data, index))


@compiled
def run_values(
    tables, size, final, group_size, observed, starts, shared, data, values, first, last
):
    """Fill in the expectation values of tasks `first` to `last`.

    Args:
        tables: Of the layout: steps, gates, places, tables.
        size: Amplitudes of all registers.
        final: Offset of the last register.
        group_size: Amplitudes of the largest group of gates.
        observed: Arguments of `measure`: diagonal, moves, rows, phases.
        starts: Shape (G, n_chunks, n_qubits * 4 * LANES).
        shared: Shape (G, n_shared).
        data: Shape (G, n_chunks, n_data * LANES).
        values: Shape (G, n_chunks, n_obs * LANES), zero at first.
        first: Number of the first task; tasks count through the chunks of each weight set.
        last: The number after the last one.
    """
    steps, gates, places, indices = tables
    state = np.empty(2 * size * LANES, starts.dtype)
    cached = np.empty(2 * group_size * LANES, starts.dtype)
    product = np.empty_like(cached)
    offsets = np.empty(group_size, np.int64)
    matrix = np.empty(shared.shape[1] * LANES + data.shape[2], starts.dtype)
    chunks = starts.shape[1]
    for task in range(first, last):
        group, chunk = task // chunks, task % chunks
        fill_matrix(shared[group], data[group, chunk], matrix)
        forward(
            steps, gates, places, indices,
            starts[group, chunk], matrix, state, cached, product, offsets,
        )  # fmt: skip
        measure(state, final, *observed, values[group, chunk])


@compiled
def run_gradients(
    tables, size, final, group_size, observed, starts, shared, data, cotangents,
    by_start, by_shared, by_data, first, last,
):  # fmt: skip
    """Fill in the gradients of tasks `first` to `last`; the state is computed anew.

    Args beyond those of `run_values`:
        cotangents: Shape (G, n_chunks, n_obs * LANES).
        by_start: Like `starts`.
        by_shared: Shape (G, n_chunks, n_shared), each task's own contribution.
        by_data: Like `data`.
    """
    steps, gates, places, indices = tables
    state = np.empty(2 * size * LANES, starts.dtype)
    costate = np.empty_like(state)
    cached = np.empty(2 * group_size * LANES, starts.dtype)
    cocached, product = np.empty_like(cached), np.empty_like(cached)
    offsets = np.empty(group_size, np.int64)
    matrix = np.empty(shared.shape[1] * LANES + data.shape[2], starts.dtype)
    overlap = np.empty_like(matrix)
    num_shared = shared.shape[1]
    chunks = starts.shape[1]
    for task in range(first, last):
        group, chunk = task // chunks, task % chunks
        fill_matrix(shared[group], data[group, chunk], matrix)
        forward(
            steps, gates, places, indices,
            starts[group, chunk], matrix, state, cached, product, offsets,
        )  # fmt: skip
        start_costate(state, final, *observed, cotangents[group, chunk], costate)
        overlap[:] = 0
        backward(
            steps, gates, places, indices,
            matrix, state, costate, overlap, cached, cocached, product, offsets,
        )  # fmt: skip
        for vector in range(by_start.shape[2] // LANES):
            store(by_start[group, chunk], vector, load(costate, vector))
        for index in range(num_shared):
            total = overlap.dtype.type(0)
            for lane in range(LANES):
                total += overlap[index * LANES + lane]
            by_shared[group, chunk, index] = total
        by_data[group, chunk] = overlap[num_shared * LANES :]
