from typing import Any

from qhybrid_circuits import RequestError
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.accounts import open_service, plan_of, speaking_to_service
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
        plan = plan_of(service, backend)
        client = ServiceClient(service, backend, plan, mode=mode, **(client_options or {}))
        name_of, qubits = str(backend.name), int(backend.target.num_qubits)
        qpu = Qpu(name_of, qubits, False, plan.name, client.mode, plan.left_seconds)
        super().__init__(name, qpu, backend.target, client, chosen)


def find_qpu(service: Any, name: str, fractional: bool = False) -> Any:
    """Return the client's backend of a QPU; "ibm" is the least busy one.

    Raises:
        RequestError: The account has no such QPU.
        QHybridError: The service cannot be reached.
    """
    if name == "ibm":
        with speaking_to_service("find the least busy device"):
            return service.least_busy(use_fractional_gates=fractional)
    with speaking_to_service("list the account's devices"):
        offered = sorted(str(backend.name) for backend in service.backends())
    if name not in offered:
        fake = f"fake_{name.removeprefix('ibm_')}"
        raise RequestError(
            f"the account has no device '{name}'; it offers {', '.join(offered) or 'none'}; "
            f"`--backend ibm` takes the least busy one, `{fake}` may run offline"
        )
    with speaking_to_service(f"open the device '{name}'"):
        return service.backend(name, use_fractional_gates=fractional)
