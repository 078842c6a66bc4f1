import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar

from qiskit.exceptions import QiskitError

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_runtime.hardware.accounts import AccountPlan, without_token
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.ibm_primitives import Submit, primitive_values, run_primitive
from qhybrid_runtime.hardware.jobs import JobClient, JobFailed, Notify, Pubs, Tables

ModeName = Literal["session", "batch", "job"]

#: Seconds between two questions after a job, and before the first repetition of a failed call.
_POLL_SECONDS, _FIRST_WAIT_SECONDS = 2.0, 1.0

#: Calls in a row that may fail for want of a connection: about nine minutes with their waits.
_MOST_TRIES = 10

#: Calls in a row that may be refused: twice by a session, then by the QPU itself.
_FEW_TRIES = 3

_LONGEST_WAIT_SECONDS = 120.0

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
        run: Submit = run_primitive,
        open_mode: Callable[[ModeName, Any], Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Talk to a QPU through the client's service and backend.

        The execution mode is chosen by the plan where omitted. `open_mode` opens a session or
        batch, the client's own where omitted; `run` submits to the primitives.

        Raises:
            RequestError: The plan has no sessions, but one is asked for.
        """
        if mode == "session" and not plan.sessions:
            raise RequestError(
                f"the plan '{plan.name}' may not open sessions; use mode 'batch' or 'job'"
            )
        self.mode: ModeName = mode or ("session" if plan.sessions else "job")
        self._service, self._backend = service, backend
        self._run, self._sleep = run, sleep
        self._open_mode = open_mode or _open_mode
        self._opened: Any = None
        self._jobs: dict[str, Any] = {}

    def submit(self, pubs: Pubs, settings: PrimitiveSettings, tag: str) -> str:
        """Submit a job and return its id.

        Where the connection breaks before the answer, the job is looked for by its tag, and
        submitted again only if it is not there. A session that has closed is opened anew.

        Raises:
            QHybridError: The service cannot be reached.
            RequestError: The service refuses the job.
        """
        tries = 0

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
            return self._run(self._execution_mode(), pubs, settings, tag=tag)

        return self._keep(self._patiently("submit a job", attempt))

    def find(self, tag: str) -> str | None:
        search = partial(self._service.jobs, job_tags=[tag], limit=1)
        jobs = self._patiently("look for a job", search)
        return self._keep(jobs[0]) if jobs else None

    def _keep(self, job: Any) -> str:
        job_id = str(job.job_id())
        self._jobs[job_id] = job
        return job_id

    def wait(
        self, job_id: str, pubs: Pubs, settings: PrimitiveSettings, notify: Notify
    ) -> list[Tables]:
        """Wait for a job; see `JobClient`.

        Raises:
            JobFailed: It failed, was cancelled or took too long, or the service has lost it.
            QHybridError: The service cannot be reached; the job goes on without us.
        """
        job = self._job(job_id)
        said = None
        while (status := str(self._patiently(f"ask after job {job_id}", job.status))) != "DONE":
            if status in ("ERROR", "CANCELLED"):
                raise JobFailed(self._reason(job, status))
            if status != said:
                notify(status, self._pending_jobs() if status == "QUEUED" else None)
                said = status
            self._sleep(_POLL_SECONDS)
        result = self._patiently(f"fetch the result of job {job_id}", job.result)
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
        """Close the session or batch, so that it is not billed while it waits."""
        opened, self._opened = self._opened, None
        if opened is not None:
            try:
                opened.close()
            except Exception as error:
                raise QHybridError(
                    f"cannot close the {self.mode}: {without_token(str(error))}; it closes by "
                    "itself after a minute without work"
                ) from None

    def _execution_mode(self) -> Any:
        if self.mode == "job":
            return self._backend
        if self._opened is None:
            self._opened = self._open_mode(self.mode, self._backend)
        return self._opened

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

    def _reason(self, job: Any, status: str) -> str:
        if status == "CANCELLED":
            return "it was cancelled"
        try:
            return without_token(str(job.error_message() or "the service gives no reason"))
        except Exception:
            return "the service gives no reason"

    def _patiently(self, doing: str, call: Callable[[], _Answer]) -> _Answer:
        """Return what a call returns, repeating it with growing waits where the service fails."""
        tries, wait = 0, _FIRST_WAIT_SECONDS
        while True:
            try:
                return call()
            except Exception as error:
                if not _is_of_service(error):
                    raise
                # From None: the client's exceptions hold requests, and these hold the token.
                tries += 1
                final = _final(doing, error, tries)
                if final is not None:
                    raise final from None
            self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def _is_of_service(error: Exception) -> bool:
    """Return whether the network, the client or the service raised an error, and not a mistake."""
    if isinstance(error, QHybridError):
        return False
    home = type(error).__module__.partition(".")[0]
    clients = ("ibm_cloud_sdk_core", "qiskit_ibm_runtime", "requests", "urllib3")
    return isinstance(error, OSError | QiskitError) or home in clients


def _final(doing: str, error: Exception, tries: int) -> Exception | None:
    """Return what to raise after so many tries, or None where another try may help."""
    kind = type(error).__name__
    message = without_token(str(error) or kind)
    if kind == "RuntimeJobNotFound":
        return JobFailed("the service does not know it any more")
    if kind in ("IBMInputValueError", "IBMNotAuthorizedError", "RuntimeProgramNotFound"):
        return RequestError(f"cannot {doing}: {message}")
    # A request that is refused stays refused, but for a session that is over.
    refused = "Client Error" in message and "429" not in message
    if tries < (_FEW_TRIES if refused else _MOST_TRIES):
        return None
    return QHybridError(
        f"cannot {doing}: {message}; jobs that were submitted go on without us: check the network, "
        "then go on with --resume"
    )


def _open_mode(mode: ModeName, backend: Any) -> Any:
    from qiskit_ibm_runtime import Batch, Session

    return Session(backend=backend) if mode == "session" else Batch(backend=backend)
