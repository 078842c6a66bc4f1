# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Parts of a batch, evaluated one after the other by one thread.

A task is `LANES` samples of one weight set. It needs one state, and one co-state for gradients,
whatever the number of gates or samples, and they are the calling thread's own.
"""

import numpy as np

from qhybrid_runtime.engine.cpu.assembly import (
    assemble,
    disassemble,
    fill_values,
    pull_back_waves,
)
from qhybrid_runtime.engine.cpu.lanes import LANES, splat, store
from qhybrid_runtime.engine.cpu.measure import measure_precisely, start_costate
from qhybrid_runtime.engine.cpu.registers import compiled
from qhybrid_runtime.engine.cpu.sweeps import (
    backward_step,
    forward_step,
    num_parts,
    set_starts,
)


@compiled
def new_scratch(group_size, like):
    """Return room for a group, its co-state, a product, a group's indices and three vectors."""
    return (
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(2 * group_size * LANES, like.dtype),
        np.empty(group_size, np.int64),
        np.empty(3 * LANES, like.dtype),
    )


@compiled
def take_samples(batch, group, chunk, vectors):
    """Copy one chunk of samples of (n, G, n_chunks * LANES) to vectors."""
    for index in range(len(batch)):
        for lane in range(LANES):
            vectors[index * LANES + lane] = batch[index, group, chunk * LANES + lane]


@compiled
def put_samples(vectors, group, chunk, batch):
    """Copy vectors to one chunk of samples of (n, G, n_chunks * LANES)."""
    for index in range(len(batch)):
        for lane in range(LANES):
            batch[index, group, chunk * LANES + lane] = vectors[index * LANES + lane]


@compiled
def new_room(recipe, largest, numbers, num_matrix):
    """Return room for a task's waves, values, two products, coefficients, codes and sites."""
    shared, _, differing, _, codes = numbers
    dtype = differing.dtype
    return (
        np.empty(2 * (len(shared) + len(differing)) * LANES, dtype),
        np.empty(2 * len(recipe[0]) * LANES, dtype),
        np.empty(largest * LANES, dtype),
        np.empty(largest * LANES, dtype),
        np.empty(num_matrix * LANES, dtype),
        np.empty(len(codes) * LANES, np.uint8),
        np.empty(len(codes), np.bool_),
    )


@compiled
def prepare(recipe, numbers, group, chunk, room):
    """Fill in what one task computes with; see `run_values`."""
    shared_cos, shared_sin, cos, sin, code_batch = numbers
    waves, values, products, _, matrix, codes, active = room
    for index in range(len(shared_cos)):
        store(waves, 2 * index, splat(shared_cos[index, group]))
        store(waves, 2 * index + 1, splat(shared_sin[index, group]))
    for index in range(len(cos)):
        first = 2 * (len(shared_cos) + index) * LANES
        for lane in range(LANES):
            waves[first + lane] = cos[index, group, chunk * LANES + lane]
            waves[first + LANES + lane] = sin[index, group, chunk * LANES + lane]
    fill_values(recipe, waves, values)
    assemble(recipe, values, products, matrix)
    take_samples(code_batch, group, chunk, codes)
    for site in range(len(active)):
        active[site] = False
        for lane in range(LANES):
            active[site] |= codes[site * LANES + lane] != 0


@compiled
def run_values(tables, recipe, sizes, observed, numbers, states, values, first, last):
    """Fill in the expectation values of tasks `first` to `last`.

    Args:
        tables: Of the layout: steps, gates, places, tables.
        recipe: Tables of the layout's recipe.
        sizes: Amplitudes of all registers, offset of the last register, amplitudes of the largest
            group of gates, coefficients, those of start states, vectors of the largest block.
        observed: `ObservableTables` in the bit order of the last register.
        numbers: Cosines and sines of the waves that samples share (n_shared, G), the same of the
            others (n_differing, G, n_chunks * LANES); Pauli operators
            (n_sites, G, n_chunks * LANES).
        states: Shape (n, 2 * size * LANES): room for a state of each task, which stay, or for one.
        values: Shape (n_obs, G, n_chunks * LANES).
        first: Number of the first task; tasks count through the chunks of each weight set.
        last: The number after the last one.
    """
    _, final, group_size, num_matrix, num_starts, largest = sizes
    chunks = values.shape[2] // LANES
    scratch = new_scratch(group_size, values)
    room = new_room(recipe, largest, numbers, num_matrix)
    _, _, _, _, matrix, codes, active = room
    measured, part = np.empty((2, len(values) * LANES), values.dtype)
    amplitudes = len(observed.diagonal)
    for task in range(first, last):
        group, chunk = task // chunks, task % chunks
        prepare(recipe, numbers, group, chunk, room)
        state = states[task if len(states) > 1 else 0]
        set_starts(matrix, num_starts, state)
        for number in range(len(tables[0])):
            parts = num_parts(tables[0][number])
            forward_step(tables, number, matrix, codes, active, state, scratch, 0, parts)
        measure_precisely(state, final, observed, measured, part, 0, amplitudes)
        put_samples(measured, group, chunk, values)


@compiled
def run_gradients(
    tables, recipe, sizes, observed, numbers, kept, room_for, cotangents,
    by_shared, by_differing, first, last,
):  # fmt: skip
    """Fill in the gradients of tasks `first` to `last`.

    Args beyond those of `run_values`:
        kept: The final states; where there are none, they are computed anew.
        room_for: Shape (2, 2 * size * LANES), room for a state and a co-state.
        cotangents: Shape (n_obs, G, n_chunks * LANES).
        by_shared: By the real and imaginary parts of the waves that samples share, each task's own
            contribution, shape (2 * n_shared, G, n_chunks).
        by_differing: By those of the others, shape (2 * n_differing, G, n_chunks * LANES).
    """
    _, final, group_size, num_matrix, num_starts, largest = sizes
    chunks = cotangents.shape[2] // LANES
    scratch = new_scratch(group_size, cotangents)
    room = new_room(recipe, largest, numbers, num_matrix)
    _, _, _, _, matrix, codes, active = room
    overlap = np.empty_like(matrix)
    cotangent = np.empty(len(cotangents) * LANES, cotangents.dtype)
    state, costate = room_for[0], room_for[1]
    steps = tables[0]
    for task in range(first, last):
        group, chunk = task // chunks, task % chunks
        prepare(recipe, numbers, group, chunk, room)
        if len(kept):
            # A copy: the sweep takes it apart, and there may be another one.
            state[:] = kept[task]
        else:
            set_starts(matrix, num_starts, state)
            for number in range(len(steps)):
                parts = num_parts(steps[number])
                forward_step(tables, number, matrix, codes, active, state, scratch, 0, parts)
        take_samples(cotangents, group, chunk, cotangent)
        start_costate(state, final, observed, cotangent, costate, 0, len(observed.diagonal))
        overlap[:] = 0
        for number in range(len(steps) - 1, -1, -1):
            parts = num_parts(steps[number])
            backward_step(
                tables, number, matrix, codes, active, state, costate, overlap, scratch, 0, parts
            )
        overlap[: num_starts * LANES] = costate[: num_starts * LANES]
        give_back(recipe, room, overlap, group, chunk, by_shared, by_differing)


@compiled
def give_back(recipe, room, overlap, group, chunk, by_shared, by_differing):
    """Carry one task's gradient by the coefficients back to waves; see `run_gradients`."""
    waves, values, products, by_products, _, _, _ = room
    by_waves, by_values = np.empty_like(waves), np.empty_like(values)
    disassemble(recipe, values, products, overlap, by_products, by_values)
    pull_back_waves(recipe, by_values, by_waves)
    for index in range(len(by_shared)):
        total = by_waves.dtype.type(0)
        for lane in range(LANES):
            total += by_waves[index * LANES + lane]
        by_shared[index, group, chunk] = total
    put_samples(by_waves[len(by_shared) * LANES :], group, chunk, by_differing)
