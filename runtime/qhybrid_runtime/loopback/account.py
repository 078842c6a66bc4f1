import base64
import json
import secrets
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

from qhybrid_circuits import RequestError
from qhybrid_runtime.loopback.programs import misfit, program_seconds, read_program, run_program
from qhybrid_runtime.loopback.served_qpu import ServedQpu

#: The service's codes of a circuit that the QPU cannot run, and of a job that takes too long.
_NOT_OF_TARGET, _TOO_LONG = 1517, 1305

#: Seconds between two looks whether a QPU in maintenance runs jobs again.
_TICK_SECONDS = 0.02

#: What a job that is not run to its end ends as, or that it stays in the queue for ever.
OUTCOMES = ("Failed", "Cancelled", "hang")


@dataclass(eq=False)
class ServedJob:
    """A job as the service keeps it.

    Attributes:
        content: What the client posted.
        mock: Whether it is a dry run, which costs nothing.
        estimated_seconds: QPU time that is expected.
        paid_seconds: QPU time that is charged; 0 until it was run.
        result: The text of its result.
    """

    content: dict[str, Any]
    mock: bool
    estimated_seconds: float
    id: str = field(default_factory=lambda: f"d{uuid.uuid4().hex[:19]}")
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    status: str = "Queued"
    reason: str | None = None
    reason_code: int | None = None
    paid_seconds: float = 0.0
    result: str = ""

    def end(self, status: str, reason: str | None = None, code: int | None = None) -> None:
        """Note how it ended."""
        self.reason, self.reason_code, self.status = reason, code, status

    @property
    def tags(self) -> list[str]:
        """The tags that it is found by."""
        return list(self.content.get("tags") or [])

    def view(self, *, params: bool = False) -> dict[str, Any]:
        """Return what the service tells of it."""
        told = {name: self.content.get(name) for name in ("backend", "session_id", "private")}
        state = {"status": self.status, "reason": self.reason, "reasonCode": self.reason_code}
        if params:
            told["params"] = self.content["params"]
        return {
            **told,
            "id": self.id,
            "created": self.created,
            "tags": self.tags,
            "program": {"id": self.content.get("program_id")},
            "status": self.status,
            "state": {name: value for name, value in state.items() if value is not None},
            "estimated_running_time_seconds": self.estimated_seconds,
        }


class Account:
    """An account of the service with one instance, and the jobs that were sent to it.

    Attributes:
        qpus: Name -> QPU.
        plan: The instance's plan, "open" for instance, which has no sessions.
        token: The API key.
        crn: The instance.
        jobs: Every job that was accepted, in order.
        sessions: Every session and batch, as it is told.
        outcomes: What becomes of the next jobs: one of `OUTCOMES`, the code of a failure, or None
            for the result.
        job_seconds: Seconds that each job takes here, and its QPU time where it is mocked.
        pace: Seconds more for each QPU second that it is estimated at.
        used_seconds: QPU time of the instance before the first job.
        charged_share: What is charged of the time that is estimated.
    """

    def __init__(
        self,
        qpus: list[ServedQpu],
        *,
        plan: str = "open",
        job_seconds: float = 0.0,
        pace: float = 0.0,
        used_seconds: float = 120.0,
        charged_share: float = 1.0,
        token_seconds: float = 3600.0,
    ) -> None:
        """Open an account; its access tokens are valid for `token_seconds`."""
        self.qpus = {qpu.name: qpu for qpu in qpus}
        self.plan, self.job_seconds, self.used_seconds = plan, job_seconds, used_seconds
        self.pace = pace
        self.charged_share, self._token_seconds = charged_share, token_seconds
        self.token = f"loopback-{secrets.token_hex(12)}"
        self.crn = "crn:v1:bluemix:public:quantum-computing:us-east:a/loopback:instance::"
        self.jobs: list[ServedJob] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.outcomes: list[str | int | None] = []
        self._valid: dict[str, float] = {}
        self._reader = ThreadPoolExecutor(1)
        self._queues: dict[str, SimpleQueue[ServedJob]] = {}
        for qpu in qpus:
            self._queues[qpu.name] = SimpleQueue()
            threading.Thread(target=self._work, args=(qpu,), daemon=True).start()

    # Tokens.

    def new_token(self, api_key: str) -> dict[str, Any] | None:
        """Return an access token, or None for an API key that is not the account's."""
        if api_key != self.token:
            return None
        now = int(time.time())
        claims = {"iat": now, "exp": now + self._token_seconds, "jti": secrets.token_hex(8)}
        parts = ({"alg": "HS256", "typ": "JWT"}, claims)
        coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
        token = b".".join([*coded, b"unsigned"]).decode()
        self._valid[token] = now + self._token_seconds
        return {
            "access_token": token,
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": self._token_seconds,
            "expiration": claims["exp"],
        }

    def knows(self, authorization: str) -> bool:
        """Return whether a request with this header is let in."""
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and self._valid.get(token, 0.0) > time.time()

    def expire_tokens(self) -> None:
        """Refuse all access tokens that were given out, before their time."""
        self._valid.clear()

    # QPUs and usage.

    def qpu(self, name: str) -> ServedQpu | None:
        """Return a QPU by its name or that of its mock twin."""
        both = {each: qpu for qpu in self.qpus.values() for each in (qpu.name, qpu.mock)}
        return both.get(name)

    @property
    def paid_seconds(self) -> float:
        """QPU time that was charged for the jobs."""
        return sum(job.paid_seconds for job in self.jobs)

    def usage(self) -> dict[str, float]:
        """Return what the instance has used and may use."""
        limit = "usage_limit_seconds" if self.plan == "open" else "usage_allocation_seconds"
        allowed = 600 if self.plan == "open" else 360_000
        return {limit: allowed, "usage_consumed_seconds": self.used_seconds + self.paid_seconds}

    # Sessions and batches.

    def open_session(self, content: dict[str, Any]) -> dict[str, Any]:
        """Open a session or batch and return what is told of it."""
        session = {
            "id": str(uuid.uuid4()),
            "backend_name": content.get("backend"),
            "mode": content.get("mode"),
            "state": "open",
            "accepting_jobs": True,
            "interactive_ttl": 60,
            "max_ttl": content.get("max_ttl", 28_800),
        }
        self.sessions[session["id"]] = session
        return session

    def close_sessions(self) -> None:
        """Close all sessions and batches, as the service does after a minute without work."""
        for session in self.sessions.values():
            session |= {"state": "closed", "accepting_jobs": False}

    # Jobs.

    def submit(self, content: dict[str, Any]) -> ServedJob:
        """Accept a job.

        Raises:
            RequestError: It cannot be read, or there is no such QPU.
        """
        qpu, name = self.qpu(content["backend"]), content["backend"]
        if qpu is None:
            raise RequestError(f"there is no backend {name}")
        # Not in this thread, which ends with the client's connection: circuits that are read later
        # have been seen to crash Qiskit where a thread that has read some has ended.
        reading = self._reader.submit(lambda: program_seconds(read_program(content["params"])))
        seconds = reading.result()
        job = ServedJob(content, name == qpu.mock, seconds)
        self.jobs.append(job)
        self._queues[qpu.name].put(job)
        if content.get("session_id"):
            self.sessions[content["session_id"]]["state"] = "active"
        return job

    def job(self, job_id: str) -> ServedJob | None:
        """Return a job by its id."""
        return next((job for job in self.jobs if job.id == job_id), None)

    def cancel(self, job: ServedJob) -> bool:
        """Cancel a job and return whether that was possible."""
        if job.status not in ("Queued", "Running"):
            return False
        job.end("Cancelled")
        return True

    def _work(self, qpu: ServedQpu) -> None:
        """Run the jobs of a QPU one after the other, for ever."""
        while True:
            job = self._queues[qpu.name].get()
            while qpu.maintenance:
                time.sleep(_TICK_SECONDS)
            outcomes = qpu.outcomes or self.outcomes
            outcome = outcomes.pop(0) if outcomes else None
            if job.status == "Queued" and outcome != "hang":
                job.status = "Running"
                time.sleep(self.job_seconds + self.pace * job.estimated_seconds)
                self._execute(job, qpu, outcome)

    def _execute(self, job: ServedJob, qpu: ServedQpu, outcome: str | int | None) -> None:
        program = read_program(job.content["params"])
        limit, wrong = job.content.get("cost"), misfit(program, qpu.target)
        if wrong:
            reason = f"{wrong} is not supported by the target system"
            return job.end("Failed", reason, _NOT_OF_TARGET)
        if limit and job.estimated_seconds > limit:
            return job.end("Failed", "the job exceeded its maximum execution time", _TOO_LONG)
        if isinstance(outcome, int):
            return job.end("Failed", f"the job failed, code {outcome}", outcome)
        if outcome == "Cancelled":
            return job.end("Cancelled")
        charged = 0.0 if job.mock else self.charged_share * job.estimated_seconds
        if outcome == "Failed":
            job.paid_seconds = charged
            return job.end("Failed", "the QPU did not answer in time", 9999)
        try:
            result = run_program(program, qpu.target, mock=job.mock)
        except Exception as error:
            # A server's own mistake must reach the client, as a real server's does.
            return job.end("Failed", f"{type(error).__name__}: {error}", 9998)
        if job.status == "Running":
            job.result, job.paid_seconds = result, charged
            job.end("Completed")
        return None
