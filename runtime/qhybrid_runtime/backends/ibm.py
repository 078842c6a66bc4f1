from typing import Any

from qhybrid_circuits import RequestError
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.accounts import find_qpu, open_service, plan_of, speaking_to_service
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.service_client import ModeName, ServiceClient


class IbmBackend(QpuBackend):
    """A QPU of IBM Quantum, by the account that the client has saved."""

    def __init__(
        self,
        name: str = "ibm",
        *,
        mode: ModeName | None = None,
        service: Any = None,
        client_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Find the QPU.

        Args:
            name: Such as "ibm_fez"; "ibm" takes the least busy QPU.
            mode: "session", "batch" or "job"; a session where the plan allows it if omitted.
            service: The client's service; the saved account's where omitted.
            client_options: Keyword arguments of `ServiceClient`.
            options: Those of `QpuOptions`.

        Raises:
            RequestError: There is no account, it has no such QPU, or an option is not allowed.
            QHybridError: The service cannot be reached.
        """
        if mode not in (None, "session", "batch", "job"):
            wanted = "must be 'session', 'batch' or 'job'"
            raise RequestError(f"Argument `mode` {wanted}, but is {mode!r}")
        chosen = QpuOptions(**options)
        service = open_service() if service is None else service
        backend = find_qpu(service, name, chosen.fractional)
        with speaking_to_service(f"read the calibration of '{name}'"):
            target = backend.target
        plan = plan_of(service, backend)
        ledger = Ledger(chosen.ledger)
        given: dict[str, Any] = {"mode": mode, "max_wait_seconds": chosen.max_wait_seconds}
        given |= client_options or {}
        client = ServiceClient(service, backend, plan, ledger=ledger, **given)
        name_of, qubits = str(backend.name), int(target.num_qubits)
        qpu = Qpu(name_of, qubits, False, plan.name, client.mode, plan.left_seconds)
        super().__init__(name, qpu, target, client, chosen, ledger)
