"""Tasks with large states, one after the other: all threads work on each step of one task."""

from collections.abc import Callable
from typing import Any

import numpy as np

from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.measure import measure_precisely, start_costate
from qhybrid_runtime.engine.cpu.sweeps import (
    backward_step,
    forward_step,
    num_parts,
    set_starts,
)
from qhybrid_runtime.engine.cpu.tasks import (
    give_back,
    new_room,
    new_scratch,
    prepare,
    put_samples,
    take_samples,
)
from qhybrid_runtime.engine.cpu.threads import run_tasks

Arguments = tuple[Any, ...]


def wide_values(arguments: Arguments, states: np.ndarray, values: np.ndarray) -> None:
    """Do what `tasks.run_values` does, for all tasks."""
    chunks = values.shape[2] // LANES
    for task in range(values.shape[1] * chunks):
        group, chunk = task // chunks, task % chunks
        state = states[task if len(states) > 1 else 0]
        _forward(arguments, group, chunk, state)
        put_samples(_measured(arguments, state, len(values)), group, chunk, values)


def _measured(arguments: Arguments, state: np.ndarray, count: int) -> np.ndarray:
    """Return expectation values, one vector an observable."""
    _, _, sizes, observed, _ = arguments
    parts: dict[int, np.ndarray] = {}

    def part(start: int, stop: int) -> None:
        parts[start], room = np.empty((2, count * LANES), state.dtype)
        measure_precisely(state, sizes[1], observed, parts[start], room, start, stop)

    run_tasks(len(observed.diagonal), part)
    return _total(parts)


def wide_gradients(
    arguments: Arguments,
    kept: np.ndarray,
    room_for: np.ndarray,
    cotangents: np.ndarray,
    by_shared: np.ndarray,
    by_differing: np.ndarray,
) -> None:
    """Do what `tasks.run_gradients` does, for all tasks."""
    tables, recipe, sizes, observed, numbers = arguments
    chunks = cotangents.shape[2] // LANES
    state, costate = room_for
    cotangent = np.empty(len(cotangents) * LANES, cotangents.dtype)
    for task in range(cotangents.shape[1] * chunks):
        group, chunk = task // chunks, task % chunks
        if len(kept):
            state[:] = kept[task]
            room = new_room(recipe, sizes[5], numbers, sizes[3])
            prepare(recipe, numbers, group, chunk, room)
        else:
            room = _forward(arguments, group, chunk, state)
        take_samples(cotangents, group, chunk, cotangent)
        run_tasks(
            len(observed.diagonal),
            lambda start, stop: start_costate(
                state, sizes[1], observed, cotangent, costate, start, stop
            ),
        )
        overlaps: dict[int, np.ndarray] = {}
        for number in range(len(tables[0]) - 1, -1, -1):
            run_tasks(
                num_parts(tables[0][number]),
                _backward(tables, sizes[2], number, room, state, costate, overlaps),
            )
        overlap = _total(overlaps)
        starts = sizes[4] * LANES
        overlap[:starts] = costate[:starts]
        give_back(recipe, room, overlap, group, chunk, by_shared, by_differing)


def _forward(arguments: Arguments, group: int, chunk: int, state: np.ndarray) -> Any:
    """Evolve one task's state, and return what `tasks.prepare` filled in."""
    tables, recipe, sizes, _, numbers = arguments
    room = new_room(recipe, sizes[5], numbers, sizes[3])
    prepare(recipe, numbers, group, chunk, room)
    matrix, codes, active = room[4:]
    set_starts(matrix, sizes[4], state)
    for number in range(len(tables[0])):

        def part(start: int, stop: int, number: int = number) -> None:
            scratch = new_scratch(sizes[2], matrix)
            forward_step(tables, number, matrix, codes, active, state, scratch, start, stop)

        run_tasks(num_parts(tables[0][number]), part)
    return room


def _backward(
    tables: Any,
    group_size: int,
    number: int,
    room: Any,
    state: np.ndarray,
    costate: np.ndarray,
    overlaps: dict[int, np.ndarray],
) -> Callable[[int, int], None]:
    """Return what undoes parts of a step; each thread adds to an overlap of its own."""
    matrix, codes, active = room[4:]

    def part(start: int, stop: int) -> None:
        # Parts that start at the same place add to the same overlap, one step after the other.
        overlap = overlaps.setdefault(start, np.zeros_like(matrix))
        scratch = new_scratch(group_size, matrix)
        backward_step(
            tables, number, matrix, codes, active, state, costate, overlap, scratch, start, stop
        )

    return part


def _total(parts: dict[int, np.ndarray]) -> np.ndarray:
    total: np.ndarray = np.sum([parts[start] for start in sorted(parts)], axis=0)
    return total
