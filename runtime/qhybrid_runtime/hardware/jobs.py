import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

import numpy as np
from qiskit.transpiler import Target

from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_runtime.hardware.billing import PrimitiveSettings, job_seconds
from qhybrid_runtime.hardware.fingerprint import circuit_text, fingerprint, observables_text
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.ledger import JobRecord, Ledger, RoundRecord
from qhybrid_runtime.hardware.round_plan import (
    Limits,
    LoweredPub,
    PubPart,
    lowered_pub,
    part_estimates,
    part_executions,
    plan_jobs,
)
from qhybrid_runtime.tasks import Estimates, LoweredTask

#: Submissions of the same PUBs before the work is given up.
MOST_ATTEMPTS = 3

#: Values and standard errors of a PUB, shape (n_observables, n_rows) each.
Tables = tuple[np.ndarray, np.ndarray]


class JobFailed(Exception):
    """A job ended without a result; the message says why."""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job, for whoever shows progress.

    Attributes:
        job_id: The service's name of the job.
        status: "SUBMITTED", "RESUMED", "FAILED", "DONE", or what the service says while waiting.
        pending_jobs: Jobs in the device's queue, or None where it is not known.
        spent_seconds: QPU seconds so far, those of jobs under way at their estimate.
    """

    job_id: str
    status: str
    pending_jobs: int | None
    spent_seconds: float


class JobClient(Protocol):
    """Submits jobs to a device and waits for them."""

    def submit(self, pubs: Sequence[LoweredPub], settings: PrimitiveSettings, tag: str) -> str:
        """Submit a job and return its id, or that of the job that has this tag already."""

    def find(self, tag: str) -> str | None:
        """Return the id of the job that was submitted with a tag, or None if there is none."""

    def wait(
        self,
        job_id: str,
        pubs: Sequence[LoweredPub],
        settings: PrimitiveSettings,
        notify: Callable[[str, int | None], None],
    ) -> list[Tables]:
        """Return the values of each PUB.

        Args:
            job_id: The job; of this process or of an earlier one.
            pubs: What it was asked for.
            settings: How.
            notify: Called with the job's status and the number of jobs in the queue.

        Raises:
            JobFailed: It failed, was cancelled, took too long or does not exist.
        """

    def spent_seconds(self, job_id: str) -> float | None:
        """Return the QPU time of a job that has ended, or None where it is not known."""


class HardwareExecutor:
    """Runs rounds as a device wants them: one job, split at the service's limits, on record.

    A job is recorded before it is submitted, again when its id is known, and again with its
    values; so a program that is started again pays for nothing twice, whatever stopped it.

    Attributes:
        target: What circuits must be lowered for.
        client: Where jobs go.
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
        """Prepare to run rounds.

        Args:
            name: The device's, part of what a round is known by.
            target: Of the device.
            client: Where jobs go.
            settings: How circuits are run; the number of shots follows from each round's precision.
            packing: How many samples share an execution.
            ledger: Where jobs are recorded.
            max_qpu_seconds: QPU time that must not be exceeded, those in the ledger included.
            limits: Of a job; the service's own where omitted.
        """
        self.target, self.client, self.ledger = target, client, ledger
        self.listener: Callable[[JobEvent], None] | None = None
        self.rounds = 0
        self._name, self._settings, self._packing = name, settings, packing
        self._max_qpu_seconds = max_qpu_seconds
        self._limits = limits or Limits()

    def run(self, tasks: Sequence[LoweredTask], precision: float) -> list[Estimates]:
        """Return the estimates of each task, from the record where it has them.

        Raises:
            QpuLimitError: The next job would exceed `max_qpu_seconds`; nothing is lost.
            DeviceJobError: A job failed again and again; what is done is on record.
            RequestError: A parameter set exceeds the service's limits.
            CircuitError: The sampler is asked for an observable that is not diagonal.
        """
        settings = replace(self._settings, shots=max(1, round(precision**-2)))
        record = self.ledger.round(self._key(tasks, settings))
        if not record.jobs:
            record.jobs = self._planned(tasks, settings)
        pubs = _Pubs(tasks, self._packing)
        if not record.finished:
            self._submit_missing(record, pubs, settings)
            for job in record.jobs:
                if job.values is None:
                    self._collect(record, job, pubs, settings)
        estimates = _assembled(tasks, record)
        self.ledger.close(record)
        self.rounds += 1
        return estimates

    def _key(self, tasks: Sequence[LoweredTask], settings: PrimitiveSettings) -> str:
        # What is asked for, not what the calibration of the day makes of it: a round that is paid
        # for stays paid for when the device is calibrated anew.
        parts: list[str | bytes] = [self._name, settings.text, self._packing.text]
        for task in tasks:
            parts.append(circuit_text(task.logical or task.lowered.circuit))
            parts.append(observables_text(task.observables))
            parts.append(repr(task.inputs.shape))
            parts.append(np.ascontiguousarray(task.inputs, dtype=np.float64).tobytes())
        return fingerprint(*parts)

    def _planned(
        self, tasks: Sequence[LoweredTask], settings: PrimitiveSettings
    ) -> list[JobRecord]:
        copies = [self._packing.copies(task.lowered, len(task.inputs)) for task in tasks]
        return [
            JobRecord(
                list(parts),
                tag=_new_tag(),
                estimated_seconds=job_seconds(part_executions(tasks, parts, settings)),
            )
            for parts in plan_jobs(tasks, copies, settings, self._limits)
        ]

    def _submit_missing(
        self, record: RoundRecord, pubs: "_Pubs", settings: PrimitiveSettings
    ) -> None:
        """Submit the jobs that have no id, so that all of a round wait in the queue together."""
        known = record.path is not None and record.path.exists()
        for job in record.jobs:
            if job.job_id is None and known:
                # The process may have ended between the submission and the answer.
                job.job_id = self.client.find(job.tag)
                record.save()
            if job.job_id is None:
                self._submit(record, job, pubs, settings)
            elif job.values is None:
                self._tell(job.job_id, "RESUMED")

    def _submit(
        self, record: RoundRecord, job: JobRecord, pubs: "_Pubs", settings: PrimitiveSettings
    ) -> None:
        self._check_limit(job)
        record.save()
        job.job_id = self.client.submit(pubs.of(job), settings, job.tag)
        record.save()
        self._tell(job.job_id, "SUBMITTED")

    def _check_limit(self, job: JobRecord) -> None:
        limit = self._max_qpu_seconds
        spent = self.ledger.spent_seconds
        if limit is not None and spent + job.estimated_seconds > limit:
            raise QpuLimitError(
                f"the limit of {limit:g} QPU seconds: {spent:.2f} s are spent, and the next job is "
                f"estimated at {job.estimated_seconds:.2f} s; all results so far are kept: "
                "go on with --resume and a higher --max-qpu-seconds"
            )

    def _collect(
        self, record: RoundRecord, job: JobRecord, pubs: "_Pubs", settings: PrimitiveSettings
    ) -> None:
        """Wait for a job; submit what failed again, a few times."""
        failures = 0
        while job.values is None:
            job_id = job.job_id or ""
            try:
                tables = self.client.wait(
                    job_id, pubs.of(job), settings, partial(self._tell, job_id)
                )
            except JobFailed as failure:
                failures += 1
                self._note_failure(record, job, job_id)
                if failures == MOST_ATTEMPTS:
                    raise DeviceJobError(
                        f"job {job_id} on {self._name} failed, as {MOST_ATTEMPTS - 1} before it "
                        f"did: {failure}; all results so far are kept: go on with --resume"
                    ) from failure
                self._submit(record, job, pubs, settings)
                continue
            spent = self.client.spent_seconds(job_id)
            job.spent_seconds += job.estimated_seconds if spent is None else spent
            _fill(job, pubs, tables)
            record.save()
            self._tell(job_id, "DONE")

    def _note_failure(self, record: RoundRecord, job: JobRecord, job_id: str) -> None:
        job.spent_seconds += self.client.spent_seconds(job_id) or 0.0
        job.failed.append(job_id)
        job.job_id, job.tag = None, _new_tag()
        record.save()
        self._tell(job_id, "FAILED")

    def _tell(self, job_id: str, status: str, pending_jobs: int | None = None) -> None:
        if self.listener is not None:
            self.listener(JobEvent(job_id, status, pending_jobs, self.ledger.spent_seconds))


def _new_tag() -> str:
    return f"qhybrid-{uuid.uuid4().hex}"


class _Pubs:
    """The PUBs of a round's jobs, made when they are needed."""

    def __init__(self, tasks: Sequence[LoweredTask], packing: Packing) -> None:
        self.tasks = tasks
        self._side_by_side = cache(packing.side_by_side)

    def of(self, job: JobRecord) -> list[LoweredPub]:
        pubs = []
        for part in map(PubPart._make, job.parts):
            task = self.tasks[part.task]
            pubs.append(lowered_pub(task, part, self._side_by_side(task.lowered, part.copies)))
        return pubs


def _fill(job: JobRecord, pubs: _Pubs, tables: Sequence[Tables]) -> None:
    estimates = [
        part_estimates(part, len(pubs.tasks[part.task].observables), *table)
        for part, table in zip(map(PubPart._make, job.parts), tables, strict=True)
    ]
    job.standard_errors = [estimate.standard_errors.tolist() for estimate in estimates]
    job.values = [estimate.values.tolist() for estimate in estimates]


def _assembled(tasks: Sequence[LoweredTask], record: RoundRecord) -> list[Estimates]:
    """Return the estimates of each task from those of the parts."""
    estimates = [
        Estimates(*(np.empty((len(task.inputs), len(task.observables))) for _ in range(2)))
        for task in tasks
    ]
    for job in record.jobs:
        for part, values, errors in zip(
            map(PubPart._make, job.parts), job.values or (), job.standard_errors or (), strict=True
        ):
            estimates[part.task].values[part.start : part.stop] = values
            estimates[part.task].standard_errors[part.start : part.stop] = errors
    return estimates
