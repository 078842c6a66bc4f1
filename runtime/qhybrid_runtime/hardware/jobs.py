"""Run rounds as jobs on a QPU, on record, so that nothing is paid for twice."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import numpy as np
from qiskit.transpiler import Target

from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware import readout
from qhybrid_runtime.hardware.billing import Limits, PrimitiveSettings, job_seconds
from qhybrid_runtime.hardware.fingerprint import circuit_text, fingerprint, observables_text
from qhybrid_runtime.hardware.job_client import JobClient, JobEvent, JobFailed, Tables
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.records import JobRecord, RoundRecord
from qhybrid_runtime.hardware.round_plan import (
    LoweredPub,
    divided,
    joined,
    lowered_pubs,
    part_estimates,
    part_executions,
    plan_jobs,
)
from qhybrid_runtime.tasks import Estimates, LoweredTask

#: Submissions of the same PUBs at most.
MOST_ATTEMPTS = 3


class HardwareExecutor:
    """Runs each round as one job, split at the service's limits, and records it.

    A job is recorded before it is submitted, again when its id is known, and again with its
    values; so a program that is started again pays for nothing twice, whatever stopped it.

    Attributes:
        target: The target that circuits must be lowered for.
        client: The client that jobs are submitted by.
        ledger: The record of all jobs.
        listener: Called with every event, or None.
        rounds: Rounds that were run.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        client: JobClient,
        settings: PrimitiveSettings,
        *,
        packing: Packing,
        ledger: Ledger,
        max_qpu_seconds: float | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare to run rounds on the QPU `name`, which is part of a round's key.

        Each round's precision gives the number of shots. QPU time, that in the ledger included,
        must not exceed `max_qpu_seconds`; `limits` of a job are the service's own where omitted.
        """
        self.target, self.client, self.ledger = target, client, ledger
        self.listener: Callable[[JobEvent], None] | None = None
        self.rounds = 0
        self._number = 0
        self._name, self._settings, self._packing = name, settings, packing
        self._max_qpu_seconds = max_qpu_seconds
        self._limits = limits or Limits()

    def run(self, tasks: Sequence[LoweredTask], precision: float) -> list[Estimates]:
        """Return the estimates of each task, from the record where it has them.

        Raises:
            QpuLimitError: The next job would exceed `max_qpu_seconds`; nothing is lost.
            DeviceJobError: A job failed again and again; what is done is on record.
            RequestError: A parameter set exceeds the service's limits, or a record is damaged.
            CircuitError: The sampler is asked for an observable that is not diagonal.
        """
        settings = replace(self._settings, shots=max(1, round(precision**-2)))
        self._begin_round()
        record = self.ledger.round(self._key(tasks, settings))
        whole, (tasks, places) = tasks, divided(tasks, settings, self._limits)
        if not record.jobs:
            record.jobs = self._planned(tasks, settings)
        else:
            record.check([len(task.inputs) for task in tasks], _bounds(tasks, settings))
        if not record.finished:
            self.finish(self._round(record, tasks, settings))
        estimates = joined(whole, places, _assembled(tasks, record))
        self.ledger.close(record)
        self.rounds += 1
        self._number += 1
        return estimates

    def finish(self, work: "Work") -> None:
        """Submit jobs that were not, wait for all, and record what they give; raises as `run`."""
        self._submit_missing(work)
        self._collect_all(work)

    def at_round(self, number: int) -> None:
        """Let what is random in the next round, and those after it, follow from its number."""
        self._number = number

    def _begin_round(self) -> None:
        self.client.at_round(self._number)

    def _client(self, job: JobRecord) -> JobClient:
        """Return the client that a job goes to."""
        return self.client

    def _round(
        self, record: RoundRecord, tasks: Sequence[LoweredTask], settings: PrimitiveSettings
    ) -> "RoundInWork":
        return RoundInWork(
            record, tasks, settings, cache(self._packing.side_by_side), self.target, self.ledger
        )

    def _key(self, tasks: Sequence[LoweredTask], settings: PrimitiveSettings) -> str:
        # Not the lowered circuit, which depends on the calibration of the day: a round that is paid
        # for stays paid for when the QPU is calibrated anew.
        parts: list[str | bytes] = [self._name, settings.text, self._packing.text]
        for task in tasks:
            circuit, inputs = task.logical or task.lowered.circuit, task.inputs
            parts += [circuit_text(circuit), observables_text(task.observables)]
            parts += [repr(inputs.shape), np.ascontiguousarray(inputs, dtype=np.float64).tobytes()]
        return fingerprint(*parts)

    def _planned(
        self, tasks: Sequence[LoweredTask], settings: PrimitiveSettings
    ) -> list[JobRecord]:
        copies = [self._packing.copies(task.lowered, len(task.inputs)) for task in tasks]
        # Without files, a process that goes on could not have the same calibration.
        keeps = settings.keeps_calibration and self.ledger.has_files
        known = self.ledger.fresh_calibration() if keeps else None
        name = known or (readout.new_name() if keeps else None)
        jobs: list[JobRecord] = []
        for parts in plan_jobs(tasks, copies, settings, self._limits):
            # The first job of a run learns the readout errors for all.
            learns = name is not None and known is None and not jobs
            used = replace(settings, calibrated=name is not None and not learns)
            seconds = job_seconds(part_executions(tasks, parts, used))
            jobs.append(JobRecord(parts, new_tag(), seconds, readout=name, learns=learns))
        return jobs

    def _submit_missing(self, work: "Work") -> None:
        """Submit the jobs that have no id, so that all of a round wait in the queue together."""
        record = work.record
        known = record.path is not None and record.path.exists()
        for job in list(record.jobs):
            if job.values is not None:
                continue
            if job.job_id is None and known:
                # The process may have ended between the submission and the answer.
                job.job_id = self._client(job).find(job.tag)
                record.save()
            if job.job_id is None:
                self._submit(work, job)
            else:
                self._tell(job, "RESUMED")

    def _submit(self, work: "Work", job: JobRecord) -> None:
        limit, spent = self._max_qpu_seconds, self.ledger.spent_seconds
        if limit is not None and spent + job.estimated_seconds > limit:
            raise QpuLimitError(
                f"the limit of {limit:g} QPU seconds: {spent:.2f} s are spent, and the next job is "
                f"estimated at {job.estimated_seconds:.2f} s; all results so far are kept: "
                "go on with --resume and a higher --max-qpu-seconds"
            )
        work.record.save()
        job.job_id = self._client(job).submit(
            work.pubs(job), work.settings_of(job), job.tag, job.estimated_seconds
        )
        work.record.save()
        self._tell(job, "SUBMITTED")

    def _collect_all(self, work: "Work") -> None:
        """Wait for each job; submit it again, a few times, if it fails for a reason that passes."""
        for job in work.record.jobs:
            failures = 0
            while job.values is None:
                try:
                    self._collect(work, job)
                except JobFailed as failure:
                    failures += 1
                    job_id = self._note_failure(work, job)
                    if failure.lasting or failures == MOST_ATTEMPTS:
                        raise self._given_up(job_id, failure, failures) from failure
                    self._submit(work, job)

    def _collect(self, work: "Work", job: JobRecord) -> None:
        """Wait for a job and write its values into the record.

        Raises:
            JobFailed: There are none.
        """
        job_id, client = job.job_id or "", self._client(job)
        notify = partial(self._tell, job)
        own = work.pubs(job), work.settings_of(job)
        tables = client.wait(job_id, *own, notify)
        _check_finite(tables)
        tables = work.corrected(job, tables)
        _check_finite(tables)
        spent = client.spent_seconds(job_id)
        job.spent_seconds += job.estimated_seconds if spent is None else spent
        work.fill(job, tables)
        work.record.save()
        self._tell(job, "DONE")

    def _note_failure(self, work: "Work", job: JobRecord) -> str:
        """Record that a job ended without a result, and return its id."""
        job_id = job.job_id or ""
        job.spent_seconds += self._client(job).spent_seconds(job_id) or 0.0
        job.failed.append(job_id)
        job.job_id, job.tag = None, new_tag()
        work.record.save()
        self._tell(job, "FAILED")
        return job_id

    def _given_up(self, job_id: str, failure: JobFailed, failures: int) -> DeviceJobError:
        again, advice = f"as {failures - 1} before it did", "go on with --resume"
        if failure.lasting:
            again, advice = "and would fail again", failure.advice
        return DeviceJobError(
            f"job {job_id} on {self._name} failed, {again}: {failure}; all results so "
            f"far are kept: {advice}"
        )

    def _tell(
        self, job: JobRecord, status: str, pending_jobs: int | None = None, note: str = ""
    ) -> None:
        """Tell of a job, of the one that failed last where it has not been submitted again."""
        if self.listener is not None:
            job_id = job.job_id or "".join(job.failed[-1:])
            spent = self.ledger.spent_seconds
            self.listener(JobEvent(job_id, status, pending_jobs, spent, note, job.qpu))


def new_tag() -> str:
    """Return a tag for a job that no other job has."""
    return f"qhybrid-{uuid.uuid4().hex}"


class Work(Protocol):
    """Jobs that are run together, as those of a round are."""

    @property
    def record(self) -> RoundRecord:
        """What is on record of them."""

    def settings_of(self, job: JobRecord) -> PrimitiveSettings:
        """Return the settings that a job is submitted with."""

    def corrected(self, job: JobRecord, tables: Sequence[Tables]) -> list[Tables]:
        """Return what a job returned without the errors that are corrected here."""

    def pubs(self, job: JobRecord) -> list[LoweredPub]:
        """Return the PUBs of a job."""

    def fill(self, job: JobRecord, tables: Sequence[Tables]) -> None:
        """Write what a job returned into its record."""


@dataclass(frozen=True, eq=False)
class RoundInWork:
    """A round that is run: its record, and what its jobs' PUBs are made of."""

    record: RoundRecord
    tasks: Sequence[LoweredTask]
    settings: PrimitiveSettings
    side_by_side: Callable[[LoweredCircuit, int], LoweredCircuit]
    target: Target
    ledger: Ledger

    def settings_of(self, job: JobRecord) -> PrimitiveSettings:
        """Return the settings that a job is submitted with."""
        # The client learns nothing for a job that brings its own calibration.
        return replace(self.settings, calibrated=job.readout is not None)

    def pubs(self, job: JobRecord) -> list[LoweredPub]:
        """Return the PUBs of a job as they are submitted."""
        if job.readout is None:
            return self._pubs(job)
        learning = [readout.learning_pub(self.target)] if job.learns else []
        return [*map(readout.by_strings, self._pubs(job)), *learning]

    def corrected(self, job: JobRecord, tables: Sequence[Tables]) -> list[Tables]:
        """Return the estimates of a job's observables, readout errors corrected."""
        if job.readout is None:
            return list(tables)
        if job.learns:
            self.ledger.keep_calibration(readout.calibration(job.readout, tables[-1]))
        known, pubs = self.ledger.calibration(job.readout), self._pubs(job)
        return [readout.corrected(*each, known) for each in zip(pubs, tables, strict=False)]

    def _pubs(self, job: JobRecord) -> list[LoweredPub]:
        return lowered_pubs(self.tasks, job.parts, self.side_by_side)

    def fill(self, job: JobRecord, tables: Sequence[Tables]) -> None:
        """Write what a job returned into its record."""
        estimates = [
            part_estimates(part, len(self.tasks[part.task].observables), *table)
            for part, table in zip(job.parts, tables, strict=True)
        ]
        job.standard_errors = [estimate.standard_errors.tolist() for estimate in estimates]
        job.values = [estimate.values.tolist() for estimate in estimates]


def _assembled(tasks: Sequence[LoweredTask], record: RoundRecord) -> list[Estimates]:
    """Return the estimates of each task from those of the parts."""
    estimates = [Estimates(*np.empty((2, len(t.inputs), len(t.observables)))) for t in tasks]
    for job in record.jobs:
        tables = zip(job.parts, job.values or (), job.standard_errors or (), strict=True)
        for part, values, errors in tables:
            estimates[part.task].values[part.start : part.stop] = values
            estimates[part.task].standard_errors[part.start : part.stop] = errors
    return estimates


def _check_finite(tables: Sequence[Tables]) -> None:
    """Refuse a result with values that are not numbers: whatever they lead to would be none."""
    if not all(np.isfinite(values).all() for values, _ in tables):
        raise JobFailed("it returned values that are not finite numbers", lasting=True)


def _bounds(tasks: Sequence[LoweredTask], settings: PrimitiveSettings) -> list[np.ndarray]:
    """Return what no value of each task's observables (n_observables,) should exceed in size."""
    # Mitigation divides by what is left of a value, so that noise may carry it beyond its bounds.
    mitigated = settings.primitive == "estimator" and settings.resilience_level > 0
    factor = 4.0 if mitigated else 1.0
    return [
        np.array([factor * np.abs(each.coeffs).sum() for each in task.observables])
        for task in tasks
    ]
