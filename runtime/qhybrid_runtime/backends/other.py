from typing import Any

from qiskit.providers import BackendV2

from qhybrid_circuits import RequestError
from qhybrid_circuits.lowering.targets import with_fractional_gates
from qhybrid_circuits.plugins import load_from_here
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.backend_client import BackendClient

_SIMULATORS = (
    "qiskit.providers.fake_provider",
    "qiskit.providers.basic_provider",
    "qiskit_aer",
    "qiskit_ibm_runtime.fake_provider",
)
"""Where simulators come from."""


class OtherBackend(QpuBackend):
    """Any Qiskit `BackendV2`, of whatever provider: lowered for, recorded and billed as others.

    The bill follows IBM's rule of thumb, since providers have no common one.
    """

    def __init__(self, reference: str, **options: Any) -> None:
        """Call the function that makes the backend.

        Args:
            reference: The function, "module:function", which is called without arguments.
            options: Those of `QpuOptions`; there is no mitigation.

        Raises:
            RequestError: There is no such function, it raises something or returns no backend with
                a target, or an option is not allowed.
        """
        chosen = QpuOptions(**{"resilience_level": 0, **options})
        backend = _made(reference)
        target, name = backend.target, f"backend:{reference}"
        if chosen.fractional:
            target = with_fractional_gates(target)
        qpu = Qpu(name, int(target.num_qubits), _is_simulator(backend), priced=False)
        super().__init__(name, qpu, target, BackendClient(backend), chosen)


def _is_simulator(backend: BackendV2) -> bool:
    """Return whether a backend is known to run on this machine, where nothing is paid."""
    return any(each.__module__.startswith(_SIMULATORS) for each in type(backend).__mro__)


def _made(reference: str) -> BackendV2:
    """Return the backend that a function returns."""
    function = load_from_here(reference)
    try:
        backend = function()
    except Exception as error:
        raise RequestError(
            f"backend 'backend:{reference}' cannot be made: {type(error).__name__}: {error}"
        ) from error
    target = getattr(backend, "target", None)
    if not isinstance(backend, BackendV2) or not getattr(target, "num_qubits", None):
        raise RequestError(
            f"'{reference}' returned a {type(backend).__name__}, but must return a Qiskit "
            "BackendV2 whose target says which qubits it has"
        )
    return backend
