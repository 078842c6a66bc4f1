"""A stand-in for IBM's service that speaks the client's interface and fails on demand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit.transpiler import Target
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMRuntimeError,
    RuntimeJobNotFound,
)

from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.ibm_primitives import run_primitive
from qhybrid_runtime.hardware.round_plan import LoweredPub
from qhybrid_runtime.hardware.targets import fake_target


@dataclass
class DeviceDouble:
    name: str
    target: Target
    _instance: str = "crn:double"

    def status(self) -> Any:
        return SimpleNamespace(operational=True, pending_jobs=3)


@dataclass
class ModeDouble:
    """A session or batch of the real client's interface."""

    kind: str
    session_id: str
    open: bool = True

    def close(self) -> None:
        self.open = False

    def status(self) -> str:
        return "In progress, accepting new jobs" if self.open else "Closed"

    def backend(self) -> str:
        return "ibm_double"


@dataclass
class JobDouble:
    service: "ServiceDouble"
    name: str
    tag: str
    outcome: str
    answer: Any
    asked: int = 0
    cancelled: bool = False
    _reason_code: int | None = None
    usage_estimation: dict[str, float] = field(default_factory=lambda: {"quantum_seconds": 7.0})

    def job_id(self) -> str:
        return self.name

    def status(self) -> str:
        self.service.fail("status")
        self.asked += 1
        return ["QUEUED", "RUNNING", self.outcome][min(self.asked - 1, 2)]

    def result(self) -> Any:
        self.service.fail("result")
        return self.answer

    def usage(self) -> float:
        self.service.fail("usage")
        return 5.0

    def error_message(self) -> str:
        return "the fridge was warm"

    def cancel(self) -> None:
        self.cancelled = True


class ServiceDouble:
    """One device with five qubits.

    Attributes:
        faults: Event -> what happens at it, once each, in order: exceptions are raised, and the
            outcome of a job ("ERROR", "CANCELLED") is taken. Events are "submit" (nothing arrives),
            "answer" (the job arrives, the answer is lost), "outcome", "status", "result", "usage",
            "copies" (how many more jobs the client posts by itself). Functions are called. A number
            as an outcome is the reason code of an "ERROR".
        executed: Every job that was accepted, in order.
        modes: Every session or batch that was opened.
        loaded: The QPUs whose configuration was asked for, in order.
        limits: QPU seconds that each job was given.
    """

    def __init__(self, plan: str = "open", **faults: Sequence[Any]) -> None:
        self.device = DeviceDouble("ibm_double", fake_target("fake_manila"))
        self.plan = plan
        self.faults = {event: list(what) for event, what in faults.items()}
        self.executed: list[JobDouble] = []
        self.modes: list[ModeDouble] = []
        self.loaded: list[str] = []
        self.limits: list[int | None] = []

    def fail(self, event: str) -> Any:
        waiting = self.faults.get(event)
        fault = waiting.pop(0) if waiting else None
        if isinstance(fault, BaseException):
            raise fault
        if callable(fault):
            fault()
        return fault

    # What the client's service offers.

    def backends(self) -> list[DeviceDouble]:
        self.loaded += ["ibm_other", self.device.name]
        return [self.device]

    def backend(self, name: str, use_fractional_gates: bool = False) -> DeviceDouble:
        if name != self.device.name:
            raise QiskitBackendNotFoundError("No backend matches the criteria.")
        self.loaded.append(name)
        return self.device

    def least_busy(self, use_fractional_gates: bool = False) -> DeviceDouble:
        return self.device

    def instances(self) -> list[dict[str, str]]:
        return [{"crn": "crn:double", "plan": self.plan, "name": "mine"}]

    def active_instance(self) -> str:
        return "crn:double"

    def usage(self) -> dict[str, float]:
        return {"usage_limit_seconds": 600, "usage_remaining_seconds": 480}

    def job(self, name: str) -> JobDouble:
        self.fail("job")
        known = [job for job in self.executed if job.name == name]
        if not known:
            raise RuntimeJobNotFound(f"Job not found: {name}")
        return known[0]

    def jobs(self, job_tags: Sequence[str], limit: int, instance: str) -> list[JobDouble]:
        assert instance == self.device._instance
        return [job for job in reversed(self.executed) if job.tag in job_tags][:limit]

    # What the backend is given in place of the network.

    def open_mode(
        self, kind: str, backend: DeviceDouble, session_id: str | None = None
    ) -> ModeDouble:
        if session_id is None:
            self.modes.append(ModeDouble(kind, f"session-{len(self.modes)}"))
            return self.modes[-1]
        for mode in self.modes:
            if mode.session_id == session_id:
                return mode
        raise IBMInputValueError(f"Session not found: {session_id}")

    def run(
        self,
        mode: Any,
        pubs: Sequence[LoweredPub],
        settings: PrimitiveSettings,
        *,
        tag: str = "",
        seed: int | None = None,
        seconds: int | None = None,
    ) -> JobDouble:
        self.limits.append(seconds)
        self.fail("submit")
        if isinstance(mode, ModeDouble) and not mode.open:
            raise IBMRuntimeError("The session is closed.")
        # The same question has the same answer, whenever it is asked.
        content = b"".join(pub.values.tobytes() for pub in pubs)
        seed = int.from_bytes(hashlib.sha256(content).digest()[:4], "little")
        simulator = RegionSimulator(self.device.target)
        answer = run_primitive(simulator, pubs, settings, tag=tag, seed=seed).result()
        for _ in range(1 + (self.fail("copies") or 0)):
            outcome = self.fail("outcome") or "DONE"
            job = JobDouble(self, f"job-{len(self.executed)}", tag, outcome, answer)
            if isinstance(outcome, int):
                job.outcome, job._reason_code = "ERROR", outcome
            self.executed.append(job)
        self.fail("answer")
        return job

    @property
    def client_options(self) -> dict[str, Any]:
        """What `IbmBackend` takes to talk to this service."""
        return {"run": self.run, "open_mode": self.open_mode, "sleep": lambda seconds: None}
