import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
from qiskit.primitives import EstimatorPubLike
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.info import DEVICE_GRADIENTS
from qhybrid_runtime.backends.lowering_estimator import LoweringEstimator
from qhybrid_runtime.checks import check_whole
from qhybrid_runtime.compiled import CompiledCircuit, Tensors
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.fleet import Site
from qhybrid_runtime.hardware.job_client import JobClient, JobEvent
from qhybrid_runtime.hardware.job_packing import Pack, Packing
from qhybrid_runtime.hardware.jobs import HardwareExecutor
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.mitigation import MITIGATIONS, mitigation_named
from qhybrid_runtime.hardware.quote import Quote, planned_pubs, quote_round
from qhybrid_runtime.hardware.readings import read_on_record
from qhybrid_runtime.tasks import LoweredTask

_USUAL = asdict(PrimitiveSettings())


@dataclass(frozen=True)
class Qpu:
    """What is known of the QPU behind a backend, real or simulated.

    Attributes:
        name: The QPU's own name, e.g. "ibm_fez" for `--backend ibm`.
        qubits: How many it has.
        simulated: Whether it is one on this machine, that nothing is paid for.
        plan: Name of the account's plan, or None where there is no account.
        mode: Execution mode: "session", "batch" or "job".
        left_seconds: QPU time that the plan leaves, or None where it is not limited or told.
        priced: Whether QPU seconds are what is paid; other providers than IBM have other prices.
    """

    name: str
    qubits: int
    simulated: bool
    plan: str | None = None
    mode: str = "job"
    left_seconds: float | None = None
    priced: bool = True

    @property
    def described(self) -> str:
        """The name, and where and how jobs run, for people."""
        where = f"{self.plan or 'no'} plan, {self.mode}" if self.priced else "its provider's price"
        return f"{self.name} ({'simulated here, nothing is paid' if self.simulated else where})"

    def costs(self, seconds: float) -> str:
        """Return what estimated seconds are here, for people."""
        if self.simulated:
            return f"a QPU would take about {seconds:,.0f} s"
        return f"about {seconds:,.0f} " + ("QPU seconds" if self.priced else "s by IBM's rule")


@dataclass(frozen=True)
class QpuOptions(PrimitiveSettings):
    """The options that real QPUs and fake ones share: those of the primitives, and how to pack.

    Attributes:
        mitigate: A mitigation by its name, in the place of `resilience_level`,
            `dynamical_decoupling`, `twirling` and `pec`; see `MITIGATIONS`.
        pack: Samples that share an execution side by side: a number, or "auto".
        fractional: Whether to use rzz and rx of any angle, where the QPU has them.
        ledger: Folder of the record of jobs; in memory only where omitted.
        max_qpu_seconds: QPU time, with that in the ledger, that must not be exceeded.
        max_wait_seconds: How long to wait for a job, in the queue and running; for ever where
            omitted.
    """

    mitigate: str | None = None
    pack: Pack = 1
    fractional: bool = False
    ledger: Path | str | None = None
    max_qpu_seconds: float | None = None
    max_wait_seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RequestError: One is not allowed, or they do not go together.
        """
        self._take_mitigation()
        check_whole("`shots`", self.shots, 1, 10_000_000)
        check_whole("`resilience_level`", self.resilience_level, 0, 2)
        if self.primitive not in ("estimator", "sampler"):
            raise RequestError(
                f"Argument `primitive` must be 'estimator' or 'sampler', but is {self.primitive!r}"
            )
        if self.fractional and (self.twirling or self.resilience_level == 2):
            raise RequestError(
                "Arguments `fractional` and `twirling` do not go together: fractional gates are "
                "not Clifford gates; leave one of them out"
            )
        for name in ("max_qpu_seconds", "max_wait_seconds"):
            limit = getattr(self, name)
            if limit is not None and not (math.isfinite(limit) and limit >= 0):
                raise RequestError(
                    f"Argument `{name}` must be a number of at least 0, but is {limit}"
                )

    def _take_mitigation(self) -> None:
        if self.mitigate is None:
            return
        chosen = mitigation_named(self.mitigate, fractional=self.fractional)
        given = [f.name for f in fields(chosen) if getattr(self, f.name) != _USUAL[f.name]]
        if given:
            raise RequestError(
                f"Arguments `mitigate` and `{given[0]}` do not go together: `mitigate` is a name "
                "for a value of the other; leave one of them out"
            )
        if self.primitive == "sampler" and chosen != MITIGATIONS["none"]:
            raise RequestError(
                f"Argument `mitigate` ({self.mitigate}) is the estimator's, but `primitive` is "
                "'sampler'; leave one of them out"
            )
        for field in fields(chosen):
            object.__setattr__(self, field.name, getattr(chosen, field.name))

    @property
    def settings(self) -> PrimitiveSettings:
        """What concerns the primitives."""
        return PrimitiveSettings(*(getattr(self, own.name) for own in fields(PrimitiveSettings)))


class QpuBackend(Backend):
    """A QPU with gates, couplings and device noise of its own; fake or real.

    Attributes:
        qpu: What is known of it.
        settings: How circuits are run.
        pack: Samples that share an execution.
        ledger: The record of all jobs.
    """

    exact = False
    gradients = DEVICE_GRADIENTS
    options: ClassVar[type[QpuOptions]] = QpuOptions
    target: Target

    def __init__(
        self,
        name: str,
        qpu: Qpu,
        target: Target,
        client: JobClient,
        options: QpuOptions,
        ledger: Ledger | None = None,
    ) -> None:
        """Put a backend together whose jobs go to `client`, with a ledger by `options` if omitted.

        Raises:
            RequestError: An option is not allowed.
        """
        self.name, self.qpu, self.target = name, qpu, target
        self.settings, self.pack = options.settings, options.pack
        self.precision = options.shots**-0.5
        self.ledger = Ledger(options.ledger) if ledger is None else ledger
        self._packing = Packing(options.pack, target)
        self._executor = self._new_executor(client, options)
        self._estimator = self._new_estimator(options)

    def _new_executor(self, client: JobClient, options: QpuOptions) -> HardwareExecutor:
        return HardwareExecutor(
            self.qpu.name,
            self.target,
            client,
            self.settings,
            packing=self._packing,
            ledger=self.ledger,
            max_qpu_seconds=options.max_qpu_seconds,
        )

    def _new_estimator(self, options: QpuOptions) -> LoweringEstimator:
        return LoweringEstimator(
            self._executor, precision=self.precision, fractional=options.fractional
        )

    @property
    def site(self) -> Site:
        """The QPU as part of a fleet."""
        return Site(self.qpu.name, self._executor.client, self._packing)

    def estimator(self) -> LoweringEstimator:
        """Return the primitive, shared by all layers of this backend."""
        return self._estimator

    def quote(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> Quote:
        """Return what `evaluate` with the same arguments would cost, without running anything.

        Raises:
            RequestError: A single parameter set exceeds the service's limits.
        """
        return self.quote_pubs(self._pubs(circuits, inputs, weights))

    def quote_pubs(self, pubs: Iterable[EstimatorPubLike]) -> Quote:
        """Return what any PUBs would cost as one round, without running anything; see `quote`."""
        return self._quoted(self._estimator.lowered_tasks(pubs))

    def service_seconds(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> float | None:
        """Return the QPU seconds that the service itself expects of a round, by dry runs.

        Returns:
            None where it does not tell, and on fake QPUs.

        Raises:
            QHybridError: The service cannot be reached, or does not allow dry runs.
        """
        return self.service_seconds_of_pubs(self._pubs(circuits, inputs, weights))

    def service_seconds_of_pubs(self, pubs: Iterable[EstimatorPubLike]) -> float | None:
        """Return what the service itself expects of PUBs; see `service_seconds`."""
        tasks, total = self._estimator.lowered_tasks(pubs), 0.0
        for job in planned_pubs(tasks, self.settings, self._packing):
            seconds = self._executor.client.quoted_seconds(job, self.settings)
            if seconds is None:
                return None
            total += seconds
        return total

    def _pubs(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> list[EstimatorPubLike]:
        return [
            circuit.pub(rows, vector, self.precision)
            for circuit, rows, vector in zip(circuits, inputs, weights, strict=True)
        ]

    def _quoted(self, tasks: Sequence[LoweredTask]) -> Quote:
        return quote_round(tasks, self.settings, self._packing)

    def readings(self, circuit: LoweredCircuit, shots: int, purpose: str) -> list[np.ndarray]:
        """Return at least `shots` readings of a circuit's qubits; see `read_on_record`."""
        return read_on_record(self._executor, circuit, shots, (self.qpu.name, purpose))

    @property
    def rounds(self) -> int:
        """Rounds that were run, those from the record included."""
        return self._executor.rounds

    def listen(self, listener: Callable[[JobEvent], None] | None) -> None:
        """Have a function called with everything that happens to a job."""
        self._executor.listener = listener

    def at_round(self, number: int) -> None:
        """Go on with the shots of this round, on a fake QPU."""
        self._executor.at_round(number)

    def close(self) -> None:
        """Give back what is held on the QPU, a session for instance.

        Raises:
            QHybridError: It cannot be closed.
        """
        self._executor.client.close()
