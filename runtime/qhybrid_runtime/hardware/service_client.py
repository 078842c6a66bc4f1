import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_circuits.errors import QpuLimitError
from qhybrid_runtime.hardware.accounts import AccountPlan, without_token
from qhybrid_runtime.hardware.billing import PrimitiveSettings, execution_limit
from qhybrid_runtime.hardware.client_internals import (
    fails_again,
    is_misfit,
    is_of_service,
    limit_silence,
    may_pass,
    posted_again,
    renew_tokens,
    result_of,
    status_code,
)
from qhybrid_runtime.hardware.ibm_primitives import Submit, primitive_values, run_primitive
from qhybrid_runtime.hardware.job_client import JobClient, JobFailed, Notify, Pubs, Tables
from qhybrid_runtime.hardware.ledger import Ledger

ModeName = Literal["session", "batch", "job"]

#: Seconds between two questions after a job, at first and at most.
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.2, 5.0

#: Seconds before a failed call is repeated, at first and at most.
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 120.0

#: Calls in a row that may fail for want of a connection: about nine minutes with their waits. No
#: call is repeated after so many seconds, which silent connections take before.
_MOST_TRIES, _LONGEST_OUTAGE_SECONDS = 10, 900.0

#: Calls in a row that may be refused: twice by a session, then by the QPU itself.
_FEW_TRIES = 3

#: States of a job, the one that costs least to go on with first.
_STATES = ("DONE", "RUNNING", "QUEUED", "INITIALIZING")

_Answer = TypeVar("_Answer")


class ServiceClient(JobClient):
    """Runs jobs on a QPU of IBM Quantum.

    Attributes:
        mode: "session" where the plan allows it, so that the rounds of a denoising step do not
            queue again; else "batch", where a session was not asked for, or "job".
    """

    def __init__(
        self,
        service: Any,
        backend: Any,
        plan: AccountPlan,
        *,
        mode: ModeName | None = None,
        ledger: Ledger | None = None,
        max_wait_seconds: float | None = None,
        run: Submit = run_primitive,
        open_mode: Callable[..., Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Talk to a QPU through the client's service and backend.

        Args:
            service: The client's service.
            backend: The client's backend of the QPU.
            plan: Of the account; the execution mode is chosen by it where omitted.
            mode: The execution mode.
            ledger: Keeps the id of a session, which is joined again by the next process.
            max_wait_seconds: How long to wait for a job, in the queue and running; for ever where
                omitted.
            run: Submits to the primitives.
            open_mode: Opens a session or batch, or joins the one whose id it is given; the client's
                own where omitted.
            sleep: Waits some seconds.

        Raises:
            RequestError: The plan has no sessions, but one is asked for.
        """
        if mode == "session" and not plan.sessions:
            raise RequestError(
                f"the plan '{plan.name}' may not open sessions; use mode 'batch' or 'job'"
            )
        limit_silence()
        self.mode: ModeName = mode or ("session" if plan.sessions else "job")
        self._service, self._backend = service, backend
        self._ledger, self._max_wait_seconds = ledger or Ledger(None), max_wait_seconds
        self._run, self._sleep = run, sleep
        self._open_mode = open_mode or partial(_open_mode, service)
        self._opened: Any = None
        self._jobs: dict[str, Any] = {}

    def submit(self, pubs: Pubs, settings: PrimitiveSettings, tag: str, seconds: float) -> str:
        """Submit a job and return its id.

        The service stops the job when it takes far longer than expected. Where the connection
        breaks before the answer, the job is looked for by its tag, and submitted again only if it
        is not there. A session that has closed is opened anew.

        Raises:
            QHybridError: The service cannot be reached.
            RequestError: The service refuses the job.
        """
        tries, limit = 0, execution_limit(seconds)

        def attempt() -> Any:
            nonlocal tries
            tries += 1
            found = self.find(tag) if tries > 1 else None
            if found is not None:
                return self._jobs[found]
            if tries > 2:
                # A session outlives a connection that breaks, so it is not given up at once. Where
                # it cannot be closed, it is over, or closes by itself.
                with suppress(Exception):
                    self.close()
            return self._run(self._execution_mode(), pubs, settings, tag=tag, seconds=limit)

        job_id = self._keep(self._patiently("submit a job", attempt))
        return (self.find(tag) if posted_again(self._service) else None) or job_id

    def find(self, tag: str) -> str | None:
        """Return the id of the job that was submitted with a tag, or None; cancel copies of it."""
        instance = getattr(self._backend, "_instance", None)
        search = partial(self._service.jobs, job_tags=[tag], limit=10, instance=instance)
        jobs = self._patiently("look for a job", search)
        if len(jobs) > 1:
            jobs = sorted(jobs, key=self._state)
            for copy in jobs[1:]:
                self._cancel(copy)
        return self._keep(jobs[0]) if jobs else None

    def _state(self, job: Any) -> int:
        status = str(self._patiently(f"ask after job {job.job_id()}", job.status))
        return _STATES.index(status) if status in _STATES else len(_STATES)

    def _cancel(self, job: Any) -> None:
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        def cancel() -> None:
            with suppress(RuntimeInvalidStateError):  # It has ended meanwhile.
                job.cancel()

        self._patiently(f"cancel job {job.job_id()}, a copy of another", cancel)

    def _keep(self, job: Any) -> str:
        job_id = str(job.job_id())
        self._jobs.setdefault(job_id, job)
        return job_id

    def wait(
        self, job_id: str, pubs: Pubs, settings: PrimitiveSettings, notify: Notify
    ) -> list[Tables]:
        """Wait for a job; see `JobClient`.

        Raises:
            JobFailed: It failed, was cancelled or took too long, or the service has lost it.
            QpuLimitError: It has not ended after `max_wait_seconds`, and goes on without us.
            QHybridError: The service cannot be reached; the job goes on without us.
        """
        job, limit = self._job(job_id), self._max_wait_seconds
        said, pause, waited = None, _FIRST_POLL_SECONDS, 0.0
        while (status := str(self._patiently(f"ask after job {job_id}", job.status))) != "DONE":
            if status in ("ERROR", "CANCELLED"):
                raise self._failure(job, status)
            if status != said:
                notify(status, self._pending_jobs() if status == "QUEUED" else None)
                said, pause = status, _FIRST_POLL_SECONDS
            if limit is not None and waited + pause > limit:
                raise QpuLimitError(
                    f"the limit of {limit:g} seconds of waiting: job {job_id} is "
                    f"{status.lower()}, and goes on without us: go on with --resume"
                )
            self._sleep(pause)
            waited, pause = waited + pause, min(1.5 * pause, _LONGEST_POLL_SECONDS)
        result = self._patiently(f"fetch the result of job {job_id}", partial(result_of, job))
        return primitive_values(result, pubs, settings)

    def spent_seconds(self, job_id: str) -> float | None:
        """Return the QPU time of a job that has ended, or the service's estimate, or None."""
        try:
            job = self._job(job_id)
            usage = job.usage() or job.usage_estimation.get("quantum_seconds")
        except Exception:
            # The figure is for information: the estimate made before is used instead.
            return None
        return None if usage is None else float(usage)

    def close(self) -> None:
        """Close the session or batch, so that it is not billed while it waits.

        Raises:
            QHybridError: It cannot be closed.
        """
        # One that an earlier process has left open is not needed any more either.
        opened, self._opened = self._opened or self._joined(), None
        if opened is not None:
            self._patiently(f"close the {self.mode}", opened.close, most=_FEW_TRIES)
            self._ledger.session_id = None

    def _execution_mode(self) -> Any:
        if self.mode == "job":
            return self._backend
        if self._opened is None:
            self._opened = self._joined() or self._open_mode(self.mode, self._backend)
            self._ledger.session_id = self._opened.session_id
        return self._opened

    def _joined(self) -> Any:
        """Return the session or batch of an earlier process if it takes jobs still, or None."""
        session_id = self._ledger.session_id
        if session_id is None or self.mode == "job":
            return None
        try:
            session = self._open_mode(self.mode, self._backend, session_id)
            state = str(session.status())
        except Exception as error:
            if not is_of_service(error):
                raise
            return None  # Whatever became of it, another one can be opened.
        takes_jobs = state in ("Pending", "In progress, accepting new jobs")
        return session if takes_jobs and session.backend() == self._backend.name else None

    def _job(self, job_id: str) -> Any:
        if job_id not in self._jobs:
            search = partial(self._service.job, job_id)
            self._jobs[job_id] = self._patiently(f"find job {job_id}", search)
        return self._jobs[job_id]

    def _pending_jobs(self) -> int | None:
        try:
            return int(self._backend.status().pending_jobs)
        except Exception:
            return None  # For information only.

    def _failure(self, job: Any, status: str) -> JobFailed:
        if status == "CANCELLED":
            return JobFailed("it was cancelled")
        try:
            reason = without_token(str(job.error_message() or "the service gives no reason"))
        except Exception:
            reason = "the service gives no reason"
        if is_misfit(job):
            advice = "the QPU has changed: go on with --resume, which lowers the circuits anew"
            return JobFailed(reason, lasting=True, advice=advice)
        return JobFailed(reason, lasting=fails_again(job))

    def _patiently(
        self, doing: str, call: Callable[[], _Answer], most: int = _MOST_TRIES
    ) -> _Answer:
        """Return what a call returns, repeating it with growing waits where the service fails."""
        tries, wait, began = 0, _FIRST_WAIT_SECONDS, time.monotonic()
        while True:
            try:
                return call()
            except Exception as error:
                if not is_of_service(error):
                    raise
                tries += 1
                late = time.monotonic() - began > _LONGEST_OUTAGE_SECONDS
                code = status_code(error)
                if code == 401 and not renew_tokens(self._service):
                    code = None  # It is the token service that does not answer.
                final = _final(doing, error, code, tries, 0 if late else most)
                # From None: the client's exceptions hold requests, and these hold the token.
                if final is not None:
                    raise final from None
            self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def _final(
    doing: str, error: Exception, code: int | None, tries: int, most: int
) -> Exception | None:
    """Return what to raise after so many tries, or None where another try may help."""
    kind = type(error).__name__
    message = without_token(str(error) or kind)
    if kind == "RuntimeJobNotFound":
        return JobFailed("the service does not know it any more")
    if kind in ("IBMInputValueError", "RuntimeProgramNotFound"):
        return RequestError(f"cannot {doing}: {message}")
    # A request that is refused stays refused, but for a session that is over or a token that is.
    if tries < (most if may_pass(code) else min(most, _FEW_TRIES)):
        return None
    if code == 401:
        return RequestError(
            f"cannot {doing}: {message}; the account's token is refused: check QISKIT_IBM_TOKEN, "
            "or the saved account, then go on with --resume"
        )
    return QHybridError(
        f"cannot {doing}: {message}; jobs that were submitted go on without us: check the network, "
        "then go on with --resume"
    )


def _open_mode(service: Any, mode: ModeName, backend: Any, session_id: str | None = None) -> Any:
    from qiskit_ibm_runtime import Batch, Session

    kind = Session if mode == "session" else Batch
    if session_id is None:
        return kind(backend=backend)
    fractional = bool(getattr(backend.options, "use_fractional_gates", False))
    return kind.from_id(session_id, service, use_fractional_gates=fractional)
