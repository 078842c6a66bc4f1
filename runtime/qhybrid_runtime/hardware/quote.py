from collections.abc import Sequence
from dataclasses import dataclass

from qhybrid_runtime.hardware.billing import (
    Bill,
    PrimitiveSettings,
    RoundSize,
    estimate_stock,
    job_seconds,
)
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.round_plan import Limits, part_executions, plan_jobs
from qhybrid_runtime.tasks import LoweredTask


@dataclass(frozen=True)
class Quote:
    """What one round would cost.

    Attributes:
        bill: As it would be run.
        unpacked: With one sample an execution.
        stock: By stock classes: a job a circuit, a PUB an output.
    """

    bill: Bill
    unpacked: Bill
    stock: Bill


def quote_round(
    tasks: Sequence[LoweredTask],
    settings: PrimitiveSettings,
    packing: Packing,
    limits: Limits | None = None,
) -> Quote:
    """Return what a round would cost, without running it.

    Args:
        tasks: The lowered circuits with their samples.
        settings: How they would be run.
        packing: How many samples share an execution.
        limits: Of a job; the service's own where omitted.

    Raises:
        RequestError: A single parameter set exceeds a limit.
    """
    limits = limits or Limits()
    copies = [packing.copies(task.lowered, len(task.inputs)) for task in tasks]
    packed = [
        packing.success_probability(task.lowered, number)
        for task, number in zip(tasks, copies, strict=True)
    ]
    alone = [task.lowered.success_probability for task in tasks]
    sizes = [RoundSize(len(task.inputs), len(task.observables)) for task in tasks]
    return Quote(
        _bill(tasks, copies, packed, settings, limits),
        _bill(tasks, [1] * len(tasks), alone, settings, limits),
        estimate_stock(sizes, settings),
    )


def _bill(
    tasks: Sequence[LoweredTask],
    copies: Sequence[int],
    success: Sequence[float | None],
    settings: PrimitiveSettings,
    limits: Limits,
) -> Bill:
    jobs = plan_jobs(tasks, copies, settings, limits)
    executions = [part_executions(tasks, parts, settings) for parts in jobs]
    return Bill(
        len(jobs),
        sum(len(parts) for parts in jobs),
        sum(executions),
        sum(map(job_seconds, executions)),
        min((chance for chance in success if chance is not None), default=None),
    )
