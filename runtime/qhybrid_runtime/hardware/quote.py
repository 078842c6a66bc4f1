from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qhybrid_runtime.hardware.billing import (
    Bill,
    Limits,
    PrimitiveSettings,
    RoundSize,
    estimate_stock,
    job_seconds,
    least_known,
)
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.round_plan import (
    LoweredPub,
    divided,
    lowered_pubs,
    part_executions,
    plan_jobs,
)
from qhybrid_runtime.tasks import LoweredTask


@dataclass(frozen=True)
class Quote:
    """The cost of one round, as it would be run and in two other ways.

    Attributes:
        bill: Of the round as it would be run.
        unpacked: Of the same with one sample per execution.
        stock: Of stock classes, with one job per circuit and one PUB per output.
        by_qpu: The bill of each QPU, where several share the round.
    """

    bill: Bill
    unpacked: Bill
    stock: Bill
    by_qpu: Mapping[str, Bill] = field(default_factory=dict)


def quote_round(
    tasks: Sequence[LoweredTask],
    settings: PrimitiveSettings,
    packing: Packing,
    limits: Limits | None = None,
) -> Quote:
    """Return the cost of a round, without running it."""
    limits = limits or Limits()
    stock = stock_bill(tasks, settings)
    tasks, _ = divided(tasks, settings, limits)

    def bill(copies: Sequence[int]) -> Bill:
        jobs = plan_jobs(tasks, copies, settings, limits)
        executions = [part_executions(tasks, parts, settings) for parts in jobs]
        chances = (
            packing.success_probability(task.lowered, number)
            for task, number in zip(tasks, copies, strict=True)
        )
        pubs, seconds = sum(map(len, jobs)), sum(map(job_seconds, executions))
        return Bill(len(jobs), pubs, sum(executions), seconds, least_known(chances))

    packed = bill([packing.copies(task.lowered, len(task.inputs)) for task in tasks])
    return Quote(packed, bill([1] * len(tasks)), stock)


def stock_bill(tasks: Sequence[LoweredTask], settings: PrimitiveSettings) -> Bill:
    """Return the cost of a round by stock classes."""
    return estimate_stock([_stock_size(task) for task in tasks], settings)


def planned_pubs(
    tasks: Sequence[LoweredTask], settings: PrimitiveSettings, packing: Packing
) -> list[list[LoweredPub]]:
    """Return the PUBs of each job that a round would be, without running it."""
    limits = Limits()
    tasks, _ = divided(tasks, settings, limits)
    copies = [packing.copies(task.lowered, len(task.inputs)) for task in tasks]
    return [
        lowered_pubs(tasks, parts, packing.side_by_side)
        for parts in plan_jobs(tasks, copies, settings, limits)
    ]


def _stock_size(task: LoweredTask) -> RoundSize:
    layers = max(1, task.lowered.circuit.depth())
    return RoundSize(len(task.inputs), len(task.observables), layers=layers)
