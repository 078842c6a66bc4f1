"""How the samples of a round are divided among PUBs and jobs, and how they are put together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.billing import (
    MOST_EXECUTIONS,
    MOST_INSTRUCTIONS,
    PrimitiveSettings,
)
from qhybrid_runtime.hardware.measurement import measurement_bases
from qhybrid_runtime.tasks import Estimates, LoweredTask


class PubPart(NamedTuple):
    """Samples of one task that become one PUB.

    Attributes:
        task: Number of the task.
        start: The first sample.
        stop: Behind the last sample.
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
    """What a primitive is asked for.

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
    """What a job may hold.

    Attributes:
        executions: Executions of circuits.
        instructions: Gate layers, summed over executions.
    """

    executions: int = MOST_EXECUTIONS
    instructions: int = MOST_INSTRUCTIONS


def plan_jobs(
    tasks: Sequence[LoweredTask],
    copies: Sequence[int],
    settings: PrimitiveSettings,
    limits: Limits,
) -> list[list[PubPart]]:
    """Divide a round among as few jobs as the limits allow, in order.

    Args:
        tasks: The round.
        copies: How many samples of each task run side by side.
        settings: How often each parameter set is executed.
        limits: Of a job.

    Raises:
        RequestError: A single parameter set exceeds a limit.
    """
    jobs: list[list[PubPart]] = [[]]
    room_left = _room(limits, settings)
    for number, (task, side_by_side) in enumerate(zip(tasks, copies, strict=True)):
        depth = max(1, task.lowered.circuit.depth())
        bases = measurement_bases(task.observables)
        executions = settings.executions * bases
        cost = (executions, executions * depth)
        most = min(room // each for room, each in zip(_room(limits, settings), cost, strict=True))
        if most < 1:
            raise RequestError(
                f"One parameter set of circuit '{task.lowered.name}' takes {cost[0]:,} executions "
                f"of {depth} gate layers in {bases} measurement bases, but a job may hold "
                f"{limits.executions:,} executions and {limits.instructions:,} layers; use fewer "
                f"shots{_most_shots(limits, settings, cost)}, or fewer observables"
            )
        start = 0
        while start < len(task.inputs):
            rows = min(room // each for room, each in zip(room_left, cost, strict=True))
            if rows < 1:
                jobs.append([])
                room_left = _room(limits, settings)
                continue
            stop = min(start + rows * side_by_side, len(task.inputs))
            part = PubPart(number, start, stop, side_by_side)
            jobs[-1].append(part)
            room_left = tuple(
                room - part.rows * each for room, each in zip(room_left, cost, strict=True)
            )
            start = stop
    return [job for job in jobs if job]


def _most_shots(limits: Limits, settings: PrimitiveSettings, cost: tuple[int, int]) -> str:
    """Return how many shots would fit, in words; nothing where not even one would."""
    share = min(room / each for room, each in zip(_room(limits, settings), cost, strict=True))
    most = int(settings.shots * share)
    return f", at most {most}" if most > 0 else ""


def _room(limits: Limits, settings: PrimitiveSettings) -> tuple[int, ...]:
    return limits.executions - settings.calibration, limits.instructions


def part_executions(
    tasks: Sequence[LoweredTask], parts: Sequence[PubPart], settings: PrimitiveSettings
) -> int:
    """Return the executions of a job, calibration included."""
    measured = sum(part.rows * measurement_bases(tasks[part.task].observables) for part in parts)
    return measured * settings.executions + settings.calibration


def lowered_pub(task: LoweredTask, part: PubPart, lowered: LoweredCircuit) -> LoweredPub:
    """Return the PUB of a part.

    Args:
        task: The part's task.
        part: Which samples.
        lowered: The task's circuit, `part.copies` times side by side. Its parameters are those of
            the first copy, then those of the second, and so on.
    """
    samples = task.inputs[part.start : part.stop]
    missing = part.rows * part.copies - len(samples)
    # Regions for which there is no sample left run the last one again; nobody looks at it.
    filled = np.concatenate([samples, np.repeat(samples[-1:], missing, axis=0)])
    values = filled.reshape(part.rows, part.copies * samples.shape[1])
    observables = tuple(
        _on_copy(observable, copy, part.copies)
        for copy in range(part.copies)
        for observable in task.observables
    )
    return LoweredPub(lowered, observables, values)


def part_estimates(
    part: PubPart, num_observables: int, values: np.ndarray, errors: np.ndarray
) -> Estimates:
    """Return a part's estimates in the order of its samples.

    Args:
        part: Which samples.
        num_observables: Of the task.
        values: What the primitive returned, shape (copies * n_observables, n_rows).
        errors: The same for standard errors.
    """
    count = part.stop - part.start

    def unpacked(table: np.ndarray) -> np.ndarray:
        split = table.reshape(part.copies, num_observables, part.rows)
        samples: np.ndarray = split.transpose(2, 0, 1).reshape(-1, num_observables)[:count]
        return samples

    return Estimates(unpacked(values), unpacked(errors))


def _on_copy(observable: SparsePauliOp, copy: int, copies: int) -> SparsePauliOp:
    width = observable.num_qubits
    return observable.apply_layout(range(copy * width, (copy + 1) * width), copies * width)
