"""Rounds that several QPUs share: each runs the circuits of its own images."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Self, cast

from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.errors import QHybridError, QpuLimitError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.billing import PrimitiveSettings, job_seconds, total
from qhybrid_runtime.hardware.job_client import JobClient, JobFailed
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.jobs import (
    MOST_ATTEMPTS,
    HardwareExecutor,
    RoundInWork,
    Work,
    new_tag,
)
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.quote import Quote, quote_round, stock_bill
from qhybrid_runtime.hardware.records import JobRecord, RoundRecord
from qhybrid_runtime.hardware.round_plan import (
    LoweredPub,
    PubPart,
    lowered_pubs,
    part_executions,
    plan_jobs,
)
from qhybrid_runtime.hardware.service_client import poll_pauses
from qhybrid_runtime.hardware.waits import Waits
from qhybrid_runtime.tasks import LoweredTask


@dataclass(frozen=True)
class Site:
    """A QPU of a fleet.

    Attributes:
        name: Its name.
        client: The client that jobs are submitted by.
        packing: How samples are put side by side there.
    """

    name: str
    client: JobClient
    packing: Packing


@dataclass(frozen=True, eq=False)
class FleetTask(LoweredTask):
    """Samples of one circuit, lowered for each QPU of a fleet; the other fields are the first's.

    Attributes:
        on: QPU's name -> the samples with the circuit in its gates.
    """

    on: dict[str, LoweredTask] | None = None

    def measuring(self, observables: tuple[SparsePauliOp, ...]) -> Self:
        """Return the samples with other observables, on all QPUs."""
        on = {name: task.measuring(observables) for name, task in (self.on or {}).items()}
        return replace(self, observables=observables, on=on)


def tasks_on(tasks: Sequence[LoweredTask], name: str) -> list[LoweredTask]:
    """Return tasks as they are on one QPU."""
    return [(task.on or {})[name] if isinstance(task, FleetTask) else task for task in tasks]


def shares(tasks: Sequence[LoweredTask], count: int) -> list[list[PubPart]]:
    """Divide the samples of a round among `count` QPUs, as evenly as that goes.

    All circuits of an image run on one QPU, unless there are fewer images than QPUs.
    """
    found: list[list[PubPart]] = [[] for _ in range(count)]
    for number, task in enumerate(tasks):
        samples = len(task.inputs)
        for place in range(count):
            start, stop = place * samples // count, (place + 1) * samples // count
            if start < stop:
                turn = number if samples < count else 0
                found[(place + turn) % count].append(PubPart(number, start, stop, 1))
    return found


def _own(tasks: Sequence[LoweredTask], parts: Sequence[PubPart]) -> list[LoweredTask]:
    """Return tasks with the samples of parts alone."""
    return [
        replace(tasks[part.task], inputs=tasks[part.task].inputs[part.start : part.stop])
        for part in parts
    ]


def quote_fleet(
    tasks: Sequence[LoweredTask], sites: Sequence[Site], settings: PrimitiveSettings
) -> Quote:
    """Return the cost of a round that QPUs share, without running it."""
    quotes = {
        site.name: quote_round(_own(tasks_on(tasks, site.name), parts), settings, site.packing)
        for site, parts in zip(sites, shares(tasks, len(sites)), strict=True)
    }
    return Quote(
        total(quote.bill for quote in quotes.values()),
        total(quote.unpacked for quote in quotes.values()),
        stock_bill(tasks, settings),
        {name: quote.bill for name, quote in quotes.items()},
    )


class FleetExecutor(HardwareExecutor):
    """Runs each round as a job on each of several QPUs, all of which wait in queues together.

    A QPU that fails, or keeps its job waiting long after the others are done, is left out: the
    samples of that job go to the others, which is told in one line. What is moved has ended before,
    or was cancelled, so that nothing is paid for twice.
    """

    def __init__(
        self,
        name: str,
        sites: Sequence[Site],
        settings: PrimitiveSettings,
        *,
        ledger: Ledger,
        max_qpu_seconds: float | None = None,
        max_wait_seconds: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to run rounds on QPUs, whose names in order are `name`.

        A job that waits for `max_wait_seconds` is moved; where omitted, one that waits three times
        as long as the others took, and a minute at least. `sleep` waits some seconds.
        """
        first = sites[0]
        super().__init__(
            name,
            first.packing.target,
            first.client,
            settings,
            packing=first.packing,
            ledger=ledger,
            max_qpu_seconds=max_qpu_seconds,
        )
        self._sites = {site.name: site for site in sites}
        self._lost: set[str] = set()
        self._max_wait_seconds, self._sleep = max_wait_seconds, sleep

    def _begin_round(self) -> None:
        for site in self._sites.values():
            site.client.at_round(self._number)

    def _client(self, job: JobRecord) -> JobClient:
        return self._sites[job.qpu or ""].client

    def _round(
        self, record: RoundRecord, tasks: Sequence[LoweredTask], settings: PrimitiveSettings
    ) -> "RoundInWork":
        places = {name: cache(site.packing.side_by_side) for name, site in self._sites.items()}
        own = self._packing.side_by_side, self.target, self.ledger
        return _FleetRound(record, tasks, settings, *own, places)

    def _alive(self) -> list[Site]:
        return [site for name, site in self._sites.items() if name not in self._lost]

    def _planned(
        self, tasks: Sequence[LoweredTask], settings: PrimitiveSettings
    ) -> list[JobRecord]:
        alive = self._alive()
        return [
            job
            for site, parts in zip(alive, shares(tasks, len(alive)), strict=True)
            for job in self._jobs(tasks, parts, settings, site)
        ]

    def _jobs(
        self,
        tasks: Sequence[LoweredTask],
        parts: Sequence[PubPart],
        settings: PrimitiveSettings,
        site: Site,
    ) -> list[JobRecord]:
        """Return as few jobs as the limits allow that run samples on a QPU."""
        there = tasks_on(tasks, site.name)
        own = _own(there, parts)
        copies = [site.packing.copies(task.lowered, len(task.inputs)) for task in own]
        jobs = []
        for planned in plan_jobs(own, copies, settings, self._limits):
            placed = [
                PubPart(parts[k].task, parts[k].start + start, parts[k].start + stop, number)
                for k, start, stop, number in planned
            ]
            seconds = job_seconds(part_executions(there, placed, settings))
            jobs.append(JobRecord(placed, new_tag(), seconds, qpu=site.name))
        return jobs

    def _submit(self, work: Work, job: JobRecord) -> None:
        """Submit a job; move it where its QPU takes none."""
        for last in (False, True):
            if job.qpu in self._lost and self._alive():
                return self._move(work, job, self._alive())
            try:
                return super()._submit(work, job)
            except QpuLimitError:
                raise
            except QHybridError as error:
                # The service may have the job all the same; this waits until it can tell.
                job.job_id = self._client(job).find(job.tag)
                if job.job_id is not None:
                    work.record.save()
                    return self._tell(job, "SUBMITTED")
                if last:
                    return self._elsewhere(work, job, str(error), error)
        return None

    def _collect_all(self, work: Work) -> None:
        """Look after all jobs in turn until each has its values, here or elsewhere."""
        waits = Waits()
        pauses = poll_pauses()
        while left := [job for job in work.record.jobs if job.values is None]:
            if [job for job in left if self._looked_after(work, job, waits)]:
                pauses = poll_pauses()
                continue
            pause = next(pauses)
            if self._moved_overdue(work, left, waits, pause):
                continue
            self._sleep(pause)
            waits.add(left, pause)

    def _looked_after(self, work: Work, job: JobRecord, waits: Waits) -> bool:
        """Return whether something became of a job: its values are there, or it has failed."""
        try:
            if not self._client(job).done(job.job_id or "", partial(self._tell, job)):
                return False
            self._collect(work, job)
            waits.ended(job)
        except JobFailed as failure:
            waits.failures[id(job)] += 1
            job_id = self._note_failure(work, job)
            if failure.lasting or waits.failures[id(job)] == MOST_ATTEMPTS:
                given_up = self._given_up(job_id, failure, waits.failures[id(job)])
                self._elsewhere(work, job, f"job {job_id} failed: {failure}", given_up)
            else:
                self._submit(work, job)
        return True

    def _moved_overdue(
        self, work: Work, left: Sequence[JobRecord], waits: Waits, pause: float
    ) -> bool:
        """Move the jobs that wait too long to QPUs that are done; return whether there were any."""
        busy = {job.qpu for job in left}
        idle = [site for site in self._alive() if site.name not in busy]
        limit, moved = self._max_wait_seconds, False
        for job in left:
            job_id, client, waited = job.job_id or "", self._client(job), waits.of(job)
            late = waited + pause > (waits.patience() if limit is None else limit)
            if late and limit is not None and not idle:
                raise QpuLimitError(
                    f"the limit of {limit:g} seconds of waiting: job {job_id} on {job.qpu} has not "
                    "ended, and goes on without us: go on with --resume"
                )
            if not idle or not (late or not client.in_service(job_id)):
                continue
            if client.cancel(job_id):  # else it has ended meanwhile
                self._note_failure(work, job)
                why = f"waited for {waited:.0f} s" if late else "waits for it, out of service now,"
                self._leave(job, f"job {job_id} {why} and was cancelled", idle)
                self._move(work, job, idle)
            moved = True
        return moved

    def _elsewhere(self, work: Work, job: JobRecord, why: str, error: QHybridError) -> None:
        """Leave out a job's QPU and move the job; raise the error where no other QPU is left."""
        others = [site for site in self._alive() if site.name != job.qpu]
        if not others:
            raise error
        self._leave(job, why, others)
        self._move(work, job, others)

    def _leave(self, job: JobRecord, why: str, others: Sequence[Site]) -> None:
        """Use a job's QPU no more, and say so."""
        self._lost.add(job.qpu or "")
        names = ", ".join(site.name for site in others)
        note = f"{job.qpu} is left out: {why}; its circuits go to {names}"
        self._tell(job, "MOVED", note=note)
        if self.listener is None:
            warnings.warn(note, stacklevel=2)

    def _move(self, work: Work, job: JobRecord, sites: Sequence[Site]) -> None:
        """Have the samples of a job, which is not under way, run on other QPUs."""
        whole = cast(RoundInWork, work)  # A fleet runs nothing but rounds.
        parts, found = job.parts, []
        for site, own in zip(sites, shares(_own(whole.tasks, parts), len(sites)), strict=True):
            placed = [
                PubPart(parts[k].task, parts[k].start + start, parts[k].start + stop, 1)
                for k, start, stop, _ in own
            ]
            found += self._jobs(whole.tasks, placed, whole.settings, site)
        # What it cost stays on record.
        job.parts, job.values, job.standard_errors = [], [], []
        work.record.jobs += found
        work.record.save()
        for each in found:
            self._submit(work, each)


@dataclass(frozen=True, eq=False)
class _FleetRound(RoundInWork):
    """A round whose jobs' circuits are in the gates of their QPUs."""

    places: Mapping[str, Callable[[LoweredCircuit, int], LoweredCircuit]]

    def _pubs(self, job: JobRecord) -> list[LoweredPub]:
        name = job.qpu or ""
        return lowered_pubs(tasks_on(self.tasks, name), job.parts, self.places[name])
