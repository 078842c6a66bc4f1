"""Tasks with large states, one after the other: all threads work on each step of one task."""

import numpy as np

from qhybrid_runtime.engine.cpu import workspace
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.measure import measure_precisely, start_costate
from qhybrid_runtime.engine.cpu.sweeps import backward_step, forward_step, num_parts
from qhybrid_runtime.engine.cpu.tasks import run_tasks


def wide_values(call: workspace.Call, kept: np.ndarray, values: np.ndarray) -> None:
    """Do what `tasks.run_values` does, for all tasks."""
    chunks = values.shape[2] // LANES
    own = np.empty(2 * call.layout.size * LANES, values.dtype)
    for number in range(values.shape[1] * chunks):
        group, chunk = number // chunks, number % chunks
        state = kept[number] if len(kept) else own
        _evolve(call, _prepared(call, group, chunk), state)
        workspace.put_samples(_measured(call, state, len(values)), group, chunk, values)


def _measured(call: workspace.Call, state: np.ndarray, count: int) -> np.ndarray:
    """Return expectation values, one vector an observable."""
    parts: dict[int, np.ndarray] = {}

    def part(start: int, stop: int) -> None:
        parts[start], room = np.empty((2, count * LANES), state.dtype)
        final, observed = call.layout.final, call.observed
        measure_precisely(state, final, observed, parts[start], room, start, stop)

    run_tasks(len(call.observed.diagonal), part)
    return _total(parts)


def wide_gradients(
    call: workspace.Call,
    kept: np.ndarray,
    cotangents: np.ndarray,
    by_shared: np.ndarray,
    by_differing: np.ndarray,
) -> None:
    """Do what `tasks.run_gradients` does, for all tasks."""
    chunks = cotangents.shape[2] // LANES
    state, costate = np.empty((2, 2 * call.layout.size * LANES), cotangents.dtype)
    cotangent = np.empty(len(cotangents) * LANES, cotangents.dtype)
    for number in range(cotangents.shape[1] * chunks):
        group, chunk = number // chunks, number % chunks
        task = _prepared(call, group, chunk)
        if len(kept):
            state[:] = kept[number]
        else:
            _evolve(call, task, state)
        workspace.take_samples(cotangents, group, chunk, cotangent)
        overlap = _overlap(call, task, cotangent, state, costate)
        workspace.give_back(call.recipe, task, overlap, group, chunk, by_shared, by_differing)


def _prepared(call: workspace.Call, group: int, chunk: int) -> workspace.Task:
    task: workspace.Task = workspace.new_task(call.recipe, call.numbers)
    workspace.prepare(call.recipe, call.numbers, group, chunk, task)
    return task


def _evolve(call: workspace.Call, task: workspace.Task, state: np.ndarray) -> None:
    """Do what `tasks.evolve` does."""
    layout = call.layout
    starts = 2 * layout.start_size * LANES
    state[:starts] = task.matrix[:starts]
    for step in range(len(layout.steps)):

        def part(start: int, stop: int, step: int = step) -> None:
            scratch = workspace.new_scratch(layout.group_size, state)
            forward_step(layout, step, task, state, scratch, start, stop)

        run_tasks(num_parts(layout, step), part)


def _overlap(
    call: workspace.Call,
    task: workspace.Task,
    cotangent: np.ndarray,
    state: np.ndarray,
    costate: np.ndarray,
) -> np.ndarray:
    """Return the gradient by the coefficients; each thread adds to an overlap of its own."""
    layout, observed = call.layout, call.observed
    run_tasks(
        len(observed.diagonal),
        lambda *part: start_costate(state, layout.final, observed, cotangent, costate, *part),
    )
    overlaps: dict[int, np.ndarray] = {}
    for step in range(len(layout.steps) - 1, -1, -1):

        def part(start: int, stop: int, step: int = step) -> None:
            # Parts that start at the same place add to the same overlap, one step after the other.
            own = overlaps.setdefault(start, np.zeros_like(task.matrix))
            scratch = workspace.new_scratch(layout.group_size, state)
            backward_step(layout, step, task, state, costate, own, scratch, start, stop)

        run_tasks(num_parts(layout, step), part)
    total = _total(overlaps)
    starts = 2 * layout.start_size * LANES
    total[:starts] = costate[:starts]
    return total


def _total(parts: dict[int, np.ndarray]) -> np.ndarray:
    total: np.ndarray = np.sum([parts[start] for start in sorted(parts)], axis=0)
    return total
