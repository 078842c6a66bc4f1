"""Divide the samples of a round among PUBs and jobs, and put their estimates together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.billing import (
    Demand,
    Limits,
    PrimitiveSettings,
    fill_jobs,
    fits,
)
from qhybrid_runtime.hardware.measurement import measurement_bases
from qhybrid_runtime.tasks import Estimates, LoweredTask


class PubPart(NamedTuple):
    """Samples of one task that become one PUB.

    Attributes:
        task: Number of the task.
        start: The first sample.
        stop: One more than the last sample.
        copies: Samples that run side by side in one execution.
    """

    task: int
    start: int
    stop: int
    copies: int

    @property
    def rows(self) -> int:
        """Parameter sets of the PUB."""
        return math.ceil((self.stop - self.start) / self.copies)


@dataclass(frozen=True, eq=False)
class LoweredPub:
    """A lowered circuit, its observables and its parameter sets: a PUB for a primitive.

    Attributes:
        lowered: The circuit; where samples run side by side, all copies of it in one.
        observables: On the logical qubits of `lowered`, copy after copy.
        values: Shape (n_rows, n_parameters), in the order of `lowered.circuit.parameters`.
        readings: Whether not expectation values but the shots themselves are wanted, of a sampler.
    """

    lowered: LoweredCircuit
    observables: tuple[SparsePauliOp, ...]
    values: np.ndarray
    readings: bool = False


#: Which task, and which of its observables, a part of a divided round is of.
Place = tuple[int, list[int]]


def divided(
    tasks: Sequence[LoweredTask], settings: PrimitiveSettings, limits: Limits
) -> tuple[list[LoweredTask], list[Place]]:
    """Return tasks of which a job can hold a parameter set: others with a part of the observables.

    Observables that are measured together stay together. One that no job can hold alone is left.
    """
    parts, places = [], []
    for number, task in enumerate(tasks):
        for columns in _columns(task, settings, limits):
            own = tuple(task.observables[column] for column in columns)
            whole = len(own) == len(task.observables)
            parts.append(task if whole else task.measuring(own))
            places.append((number, columns))
    return parts, places


def _columns(task: LoweredTask, settings: PrimitiveSettings, limits: Limits) -> list[list[int]]:
    def held(observables: Sequence[SparsePauliOp]) -> bool:
        return fits(_demand(task, 1, observables), settings, limits)

    every = list(range(len(task.observables)))
    if held(task.observables):
        return [every]
    # By the basis of the first string: neighbours are mostly measured together.
    first = PauliList([observable.paulis[0] for observable in task.observables])
    groups = first.group_commuting(qubit_wise=True)
    basis = {label: index for index, group in enumerate(groups) for label in group.to_labels()}
    every.sort(key=lambda column: basis[task.observables[column].paulis[0].to_label()])
    parts: list[list[int]] = [[]]
    for column in every:
        if parts[-1] and not held([task.observables[each] for each in (*parts[-1], column)]):
            parts.append([])
        parts[-1].append(column)
    return parts


def joined(
    tasks: Sequence[LoweredTask], places: Sequence[Place], parts: Sequence[Estimates]
) -> list[Estimates]:
    """Return the estimates of whole tasks from those of `divided` ones."""
    whole = [Estimates(*np.empty((2, len(t.inputs), len(t.observables)))) for t in tasks]
    for (number, columns), part in zip(places, parts, strict=True):
        whole[number].values[:, columns] = part.values
        whole[number].standard_errors[:, columns] = part.standard_errors
    return whole


def _demand(task: LoweredTask, rows: int, observables: Sequence[SparsePauliOp]) -> Demand:
    """Return what some parameter sets of a task take of a job."""
    layers = max(1, task.lowered.circuit.depth())
    return Demand(rows, measurement_bases(observables), layers, task.lowered.name)


def plan_jobs(
    tasks: Sequence[LoweredTask], copies: Sequence[int], settings: PrimitiveSettings, limits: Limits
) -> list[list[PubPart]]:
    """Divide a round among as few jobs as the limits allow, in order.

    `copies` are the samples of each task that run side by side.

    Raises:
        RequestError: A single parameter set exceeds a limit.
    """
    demands = [
        _demand(task, math.ceil(len(task.inputs) / number), task.observables)
        for task, number in zip(tasks, copies, strict=True)
    ]
    starts = [0] * len(tasks)
    jobs = []
    for filled in fill_jobs(demands, settings, limits):
        parts = []
        for number, rows in filled:
            start = starts[number]
            starts[number] = min(start + rows * copies[number], len(tasks[number].inputs))
            parts.append(PubPart(number, start, starts[number], copies[number]))
        jobs.append(parts)
    return jobs


def part_executions(
    tasks: Sequence[LoweredTask], parts: Sequence[PubPart], settings: PrimitiveSettings
) -> int:
    """Return the executions of a job, calibration included."""
    measured = sum(part.rows * measurement_bases(tasks[part.task].observables) for part in parts)
    return measured * settings.executions + settings.calibration


def lowered_pubs(
    tasks: Sequence[LoweredTask],
    parts: Sequence[PubPart],
    side_by_side: Callable[[LoweredCircuit, int], LoweredCircuit],
) -> list[LoweredPub]:
    """Return the PUBs of a job that has these parts of tasks; see `Packing.side_by_side`."""
    pairs = [(tasks[part.task], part) for part in parts]
    return [
        lowered_pub(task, part, side_by_side(task.lowered, part.copies)) for task, part in pairs
    ]


def lowered_pub(task: LoweredTask, part: PubPart, lowered: LoweredCircuit) -> LoweredPub:
    """Return the PUB of a task's part.

    `lowered` is the task's circuit, `part.copies` times side by side. Its parameters are those of
    the first copy, then those of the second, and so on.
    """
    samples = task.inputs[part.start : part.stop]
    missing = part.rows * part.copies - len(samples)
    # Regions for which no sample is left run the last one again; those results are dropped.
    filled = np.concatenate([samples, np.repeat(samples[-1:], missing, axis=0)])
    values = filled.reshape(part.rows, part.copies * samples.shape[1])
    observables = []
    for copy in range(part.copies):
        for observable in task.observables:
            width = observable.num_qubits
            own = range(copy * width, (copy + 1) * width)
            observables.append(observable.apply_layout(own, part.copies * width))
    return LoweredPub(lowered, tuple(observables), values)


def part_estimates(
    part: PubPart, num_observables: int, values: np.ndarray, errors: np.ndarray
) -> Estimates:
    """Return a part's estimates in the order of its samples.

    `values` and `errors` are the primitive's, shape (copies * n_observables, n_rows).
    """

    def unpacked(table: np.ndarray) -> np.ndarray:
        split = table.reshape(part.copies, num_observables, part.rows)
        samples = split.transpose(2, 0, 1).reshape(-1, num_observables)
        return np.asarray(samples[: part.stop - part.start])

    return Estimates(unpacked(values), unpacked(errors))
