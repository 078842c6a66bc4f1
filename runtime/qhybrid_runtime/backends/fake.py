from typing import Any

from qhybrid_circuits.lowering.targets import with_fractional_gates
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.local_client import LocalClient
from qhybrid_runtime.hardware.targets import fake_target


class FakeBackend(QpuBackend):
    """A QPU's last calibration on this machine: everything as on hardware, but free."""

    def __init__(self, name: str, *, seed: int | None = None, **options: Any) -> None:
        """Load a fake device.

        Args:
            name: Such as "fake_fez".
            seed: Of the simulated shots; from the operating system where omitted.
            options: Those of `QpuOptions`.

        Raises:
            UnknownNameError: There is no fake device of this name.
            RequestError: An option is not allowed.
            CircuitError: The QPU's gates cannot be made fractional.
        """
        chosen = QpuOptions(**options)
        target = fake_target(name)
        if chosen.fractional:
            target = with_fractional_gates(target)
        qpu = Qpu(name, int(target.num_qubits), simulated=True)
        super().__init__(name, qpu, target, LocalClient(target, seed=seed), chosen)
