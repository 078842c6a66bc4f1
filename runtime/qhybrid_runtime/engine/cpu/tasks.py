# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""Parts of a batch, each evaluated by one thread, and the threads that share them.

A task needs one state, and one co-state for gradients, whatever the number of gates or samples, and
they are the calling thread's own.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from qhybrid_circuits.caching import Cache
from qhybrid_runtime.engine.cpu.compiler import compiled, kernel
from qhybrid_runtime.engine.cpu.lanes import LANES, copy
from qhybrid_runtime.engine.cpu.measure import measure_precisely, start_costate
from qhybrid_runtime.engine.cpu.sweeps import backward_step, forward_step, num_parts
from qhybrid_runtime.engine.cpu.workspace import (
    give_back,
    new_scratch,
    new_task,
    prepare,
    put_samples,
    take_samples,
)

_POOLS: Cache[ThreadPoolExecutor] = Cache(4)


@dataclass(frozen=True)
class Tasks:
    """Tasks that take equally long."""

    count: int
    work: int  # Of one of them, in units that others have too.
    run: Callable[[int, int], object]  # Does a contiguous part of them, `first` to `last`.


def run_tasks(count: int, run: Callable[[int, int], object]) -> None:
    """Let torch's number of threads call `run(first, last)`, each on a part of `count` tasks."""
    share_tasks([Tasks(count, 1, run)])


def share_tasks(several: Sequence[Tasks]) -> None:
    """Give each of torch's threads an equal part of the work, tasks in the order given.

    The calling thread takes a part itself. A forked process makes threads of its own: those of its
    parent did not come with it.
    """
    threads = max(1, min(torch.get_num_threads(), sum(tasks.count for tasks in several)))
    parts = split_tasks(several, threads)
    waiting = [_pool(threads - 1).submit(_run, part) for part in parts[1:] if part]
    _run(parts[0])
    for part in waiting:
        part.result()


def split_tasks(several: Sequence[Tasks], threads: int) -> list[list[partial[object]]]:
    """Return the calls of each thread: a task is done where the middle of its work falls.

    No thread has more than its share and half a task.
    """
    total, before = sum(tasks.count * tasks.work for tasks in several), 0
    parts: list[list[partial[object]]] = [[] for _ in range(threads)]
    for tasks in several:
        count, work = tasks.count, tasks.work
        ends = [(total * part / threads - before) / work - 0.5 for part in range(1, threads)]
        bounds = [0, *(min(max(math.ceil(end), 0), count) for end in ends), count]
        for part, (first, last) in zip(parts, pairwise(bounds), strict=True):
            if first < last:
                part.append(partial(tasks.run, first, last))
        before += count * work
    return parts


def _run(part: Sequence[partial[object]]) -> None:
    for call in part:
        call()


def _pool(threads: int) -> ThreadPoolExecutor:
    named = "qhybrid-statevector"
    return _POOLS.get((os.getpid(), threads), lambda: ThreadPoolExecutor(threads, named))


@kernel
def evolve(layout, task, scratch, state):
    """Write the start states, and apply all steps."""
    copy(task.matrix, 2 * layout.start_size, state)
    for number in range(len(layout.steps)):
        forward_step(layout, number, task, state, scratch, 0, num_parts(layout, number))


@compiled
def run_values(call, kept, values, first, last):
    """Fill in the expectation values (n_obs, G, n_chunks * LANES) of tasks `first` to `last`.

    Tasks count through the chunks of each weight set. `call` is a `workspace.Call`, `kept` has
    room for the final state of each task, (n, 2 * size * LANES), or n = 0.
    """
    layout, recipe, observed, numbers = call
    chunks = values.shape[2] // LANES
    task, scratch = new_task(recipe, numbers), new_scratch(layout.group_size, values)
    # Not two rows of one array: of rows, numba does not know that they are contiguous.
    measured = np.empty(len(values) * LANES, values.dtype)
    part = np.empty_like(measured)
    own = np.empty(0 if len(kept) else 2 * layout.size * LANES, values.dtype)
    for number in range(first, last):
        group, chunk = number // chunks, number % chunks
        prepare(recipe, numbers, group, chunk, task)
        state = kept[number] if len(kept) else own
        evolve(layout, task, scratch, state)
        amplitudes = len(observed.diagonal)
        measure_precisely(state, layout.final, observed, measured, part, 0, amplitudes)
        put_samples(measured, group, chunk, values)


@compiled
def run_gradients(call, kept, cotangents, by_shared, by_differing, first, last):
    """Fill in the gradients of tasks `first` to `last`; see `run_values`.

    They are by the real and imaginary parts of waves: of those that samples share each task's own
    contribution, (2 * n_shared, G, n_chunks), of the others (2 * n_differing, G, n_chunks * LANES).
    Final states that are not `kept` are computed anew. Cotangents have the shape of values.
    """
    layout, recipe, observed, numbers = call
    chunks = cotangents.shape[2] // LANES
    task, scratch = new_task(recipe, numbers), new_scratch(layout.group_size, cotangents)
    overlap = np.empty_like(task.matrix)
    cotangent = np.empty(len(cotangents) * LANES, cotangents.dtype)
    state = np.empty(2 * layout.size * LANES, cotangents.dtype)
    costate = np.empty_like(state)
    for number in range(first, last):
        group, chunk = number // chunks, number % chunks
        prepare(recipe, numbers, group, chunk, task)
        if len(kept):
            # A copy: the sweep takes it apart, and there may be another one.
            copy(kept[number], 2 * layout.size, state)
        else:
            evolve(layout, task, scratch, state)
        take_samples(cotangents, group, chunk, cotangent)
        amplitudes = len(observed.diagonal)
        start_costate(state, layout.final, observed, cotangent, costate, 0, amplitudes)
        overlap[:] = 0
        for step in range(len(layout.steps) - 1, -1, -1):
            parts = num_parts(layout, step)
            backward_step(layout, step, task, state, costate, overlap, scratch, 0, parts)
        copy(costate, 2 * layout.start_size, overlap)
        give_back(recipe, task, overlap, group, chunk, by_shared, by_differing)
