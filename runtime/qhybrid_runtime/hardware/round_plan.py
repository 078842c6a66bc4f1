"""Divide the samples of a round among PUBs and jobs, and put their estimates together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, MOST_INSTRUCTIONS, PrimitiveSettings
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
    """

    lowered: LoweredCircuit
    observables: tuple[SparsePauliOp, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Limits:
    """The most that a job may hold.

    Attributes:
        executions: Executions of circuits.
        instructions: Gate layers, summed over executions.
    """

    executions: int = MOST_EXECUTIONS
    instructions: int = MOST_INSTRUCTIONS


def plan_jobs(
    tasks: Sequence[LoweredTask], copies: Sequence[int], settings: PrimitiveSettings, limits: Limits
) -> list[list[PubPart]]:
    """Divide a round among as few jobs as the limits allow, in order.

    `copies` are the samples of each task that run side by side.

    Raises:
        RequestError: A single parameter set exceeds a limit.
    """
    room = (limits.executions - settings.calibration, limits.instructions)
    jobs: list[list[PubPart]] = [[]]
    left = room
    for number, (task, side_by_side) in enumerate(zip(tasks, copies, strict=True)):
        depth = max(1, task.lowered.circuit.depth())
        bases = measurement_bases(task.observables)
        executions = settings.executions * bases
        cost = (executions, executions * depth)
        if _rows(room, cost) < 1:
            most = int(settings.shots * min(room[0] / cost[0], room[1] / cost[1]))
            raise RequestError(
                f"One parameter set of circuit '{task.lowered.name}' takes {cost[0]:,} executions "
                f"of {depth} gate layers in {bases} measurement bases, but a job may hold "
                f"{limits.executions:,} executions and {limits.instructions:,} layers; use fewer "
                f"shots{f', at most {most}' if most > 0 else ''}, or fewer observables"
            )
        start = 0
        while start < len(task.inputs):
            rows = _rows(left, cost)
            if rows < 1:
                jobs.append([])
                left = room
                continue
            stop = min(start + rows * side_by_side, len(task.inputs))
            part = PubPart(number, start, stop, side_by_side)
            jobs[-1].append(part)
            left = (left[0] - part.rows * cost[0], left[1] - part.rows * cost[1])
            start = stop
    return [job for job in jobs if job]


def _rows(room: tuple[int, int], cost: tuple[int, int]) -> int:
    """Return how many parameter sets fit, by executions and by gate layers."""
    return min(room[0] // cost[0], room[1] // cost[1])


def part_executions(
    tasks: Sequence[LoweredTask], parts: Sequence[PubPart], settings: PrimitiveSettings
) -> int:
    """Return the executions of a job, calibration included."""
    measured = sum(part.rows * measurement_bases(tasks[part.task].observables) for part in parts)
    return measured * settings.executions + settings.calibration


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
