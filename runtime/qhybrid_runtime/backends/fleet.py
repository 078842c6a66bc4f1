"""Several QPUs as one backend: they share the images of each round."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.primitives import EstimatorPubLike

from qhybrid_circuits.errors import CircuitError, TooFewQubitsError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.backends.fake import FakeBackend
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.backends.lowering_estimator import LoweringEstimator
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.billing import least_known
from qhybrid_runtime.hardware.fleet import FleetExecutor, FleetTask, quote_fleet
from qhybrid_runtime.hardware.job_client import JobClient, JobEvent
from qhybrid_runtime.hardware.quote import Quote
from qhybrid_runtime.hardware.readings import read_on_record
from qhybrid_runtime.hardware.service_client import ModeName
from qhybrid_runtime.tasks import LoweredTask, TaskTable

#: Times that a QPU of a fleet is asked to take a job before others are.
_SUBMIT_TRIES = 3


class FleetBackend(QpuBackend):
    """QPUs that share each round: every one lowers, packs and runs the circuits of its images.

    Attributes:
        members: A backend for each QPU.
    """

    def __init__(
        self, name: str, members: Sequence[QpuBackend], options: QpuOptions, sleep: Any = time.sleep
    ) -> None:
        """Put QPUs together; `sleep` waits some seconds.

        Raises:
            RequestError: An option is not allowed.
        """
        self.members, self._sleep = tuple(members), sleep
        first = self.members[0]
        super().__init__(name, _joined(self.members), first.target, first.site.client, options)
        self._reader = super()._new_executor(first.site.client, options)

    def _new_executor(self, client: JobClient, options: QpuOptions) -> FleetExecutor:
        return FleetExecutor(
            self.qpu.name,
            [member.site for member in self.members],
            self.settings,
            ledger=self.ledger,
            max_qpu_seconds=options.max_qpu_seconds,
            max_wait_seconds=options.max_wait_seconds,
            sleep=self._sleep,
        )

    def _new_estimator(self, options: QpuOptions) -> LoweringEstimator:
        return _FleetEstimator(self._executor, self.members, precision=self.precision)

    def _quoted(self, tasks: Sequence[LoweredTask]) -> Quote:
        return quote_fleet(tasks, [member.site for member in self.members], self.settings)

    def service_seconds_of_pubs(self, pubs: Iterable[EstimatorPubLike]) -> float | None:
        """Return None: a service expects nothing of several QPUs together."""
        return None

    def readings(self, circuit: LoweredCircuit, shots: int, purpose: str) -> list[np.ndarray]:
        """Return readings of a circuit's qubits, from the first QPU; see `QpuBackend.readings`."""
        name = self.members[0].qpu.name
        return read_on_record(self._reader, circuit, shots, (name, purpose), qpu=name)

    def listen(self, listener: Callable[[JobEvent], None] | None) -> None:
        """Have a function called with everything that happens to a job."""
        super().listen(listener)
        self._reader.listener = listener

    def close(self) -> None:
        """Give back what is held on the QPUs, batches for instance.

        Raises:
            QHybridError: One cannot be closed.
        """
        for member in self.members:
            member.close()


class FakeFleet(FleetBackend):
    """Fake devices that share each round; this machine simulates one after the other."""

    def __init__(self, name: str, *, seed: int | None = None, **options: Any) -> None:
        """Load fake devices, with commas between their names.

        Args:
            name: Such as "fake_fez,fake_torino".
            seed: Of the simulated shots, which differ between devices.
            options: Those of `QpuOptions`.

        Raises:
            RequestError: An option is not allowed.
            CircuitError: A QPU's gates cannot be made fractional.
        """
        own = {**options, "ledger": None}
        members = [
            FakeBackend(each, seed=_seed(seed, number), **own)
            for number, each in enumerate(name.split(","))
        ]
        super().__init__(name, members, QpuOptions(**options))


class IbmFleet(FleetBackend):
    """QPUs of IBM Quantum that share each round, by default in a batch on each."""

    def __init__(
        self,
        name: str,
        *,
        mode: ModeName | None = None,
        service: Any = None,
        client_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Find the QPUs, with commas between their names.

        The arguments are those of `IbmBackend`; `mode` is "batch" where omitted.

        Raises:
            RequestError: There is no account, it has no such QPU, or an option is not allowed.
            QHybridError: The service cannot be reached.
        """
        given = {"submit_tries": _SUBMIT_TRIES, **(client_options or {})}
        folder = options.get("ledger")
        members = []
        for each in name.split(","):
            # Jobs are in the fleet's ledger; a folder of each has its batch.
            own = {**options, "ledger": None if folder is None else Path(folder) / each}
            told = {"mode": mode or "batch", "service": service, "client_options": given}
            members.append(IbmBackend(each, **told, **own))
        super().__init__(name, members, QpuOptions(**options), given.get("sleep", time.sleep))


def _joined(members: Sequence[QpuBackend]) -> Qpu:
    """Return what is known of QPUs together; a circuit has to fit the smallest."""
    qpus = [member.qpu for member in members]
    plans = dict.fromkeys(qpu.plan for qpu in qpus if qpu.plan is not None)
    return Qpu(
        ",".join(qpu.name for qpu in qpus),
        min(qpu.qubits for qpu in qpus),
        qpus[0].simulated,
        ", ".join(plans) or None,
        qpus[0].mode,
        # They usually are of one instance, whose time they share.
        least_known(qpu.left_seconds for qpu in qpus),
    )


def _seed(seed: int | None, number: int) -> int | None:
    """Return the seed of a device, so that two draw different shots."""
    return (
        None if seed is None else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    )


class _FleetEstimator(LoweringEstimator):
    """Lowers circuits for each QPU of a fleet."""

    def __init__(self, executor: Any, members: Sequence[QpuBackend], *, precision: float) -> None:
        super().__init__(executor, precision=precision)
        self._members = members

    def _parts(self, table: TaskTable) -> list[tuple[LoweredTask, int, np.ndarray]]:
        lists = [self._on(member, table) for member in self._members]
        names = [member.qpu.name for member in self._members]
        found: list[tuple[LoweredTask, int, np.ndarray]] = []
        for row in zip(*lists, strict=True):
            first, index, samples = row[0]
            on = dict(zip(names, (task for task, _, _ in row), strict=True))
            parts = (first.lowered, first.observables, first.inputs, first.logical)
            found.append((FleetTask(*parts, on), index, samples))
        return found

    def _on(
        self, member: QpuBackend, table: TaskTable
    ) -> list[tuple[LoweredTask, int, np.ndarray]]:
        try:
            return member.estimator()._parts(table)
        except CircuitError as error:
            named = f"{member.qpu.name}: {error}"
            if isinstance(error, TooFewQubitsError):
                raise TooFewQubitsError(named, error.needed) from error
            raise CircuitError(named) from error
