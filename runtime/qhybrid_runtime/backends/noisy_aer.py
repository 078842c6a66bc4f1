from qhybrid_circuits.lowering.targets import with_fractional_gates
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.info import DEVICE_GRADIENTS
from qhybrid_runtime.backends.lowering_estimator import LoweringEstimator
from qhybrid_runtime.backends.names import noise_numbers
from qhybrid_runtime.backends.qpu import QpuOptions
from qhybrid_runtime.checks import check_whole
from qhybrid_runtime.device_noise.trajectories import TrajectoryExecutor
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.jobs import HardwareExecutor
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.local_client import LocalClient
from qhybrid_runtime.hardware.targets import fake_target, uniform_target

#: Qubits of a device that is told by two numbers. More could hardly be simulated.
_QUBITS = 24


class NoisyAerBackend(Backend):
    """Simulation with Aer's model of a device's noise, Pauli-twirled, on qhybrid's own engine.

    Circuits are lowered for the device first. Values are estimates with the standard error of so
    many shots, from far fewer trajectories.
    """

    exact = False
    gradients = DEVICE_GRADIENTS

    def __init__(
        self,
        noise: str,
        *,
        shots: int = 1024,
        seed: int | None = None,
        idling: bool = True,
        fractional: bool = False,
        mitigate: str | None = None,
    ) -> None:
        """Load a device's calibration.

        Args:
            noise: A fake device, such as "fake_fez"; or "depolarizing=0.01,readout=0.02": cz gates
                with this error, sx and x with a tenth of it, and the probability that a qubit is
                read wrongly.
            shots: Standard errors are at most 1/sqrt(shots), which is what so many shots have.
            seed: Of the random errors; from the operating system where omitted.
            idling: Whether qubits relax while they wait. Aer leaves this out of circuits that are
                not scheduled; devices do not.
            fractional: Whether to use rzz and rx of any angle.
            mitigate: A mitigation of errors; see `MITIGATIONS`. Values with one are counts of shots
                then, by IBM's client as on a QPU, and idling is part of the noise.

        Raises:
            UnknownNameError: There is no fake device of this name.
            RequestError: A number is not allowed.
        """
        check_whole("`shots`", shots, 1)
        self.name, self.precision = f"aer:{noise}", shots**-0.5
        self.target = (
            uniform_target(_QUBITS, **noise_numbers(noise)) if "=" in noise else fake_target(noise)
        )
        self._executor = (
            TrajectoryExecutor(self.target, seed=seed, idling=idling)
            if mitigate in (None, "none")
            else self._mitigating(
                QpuOptions(shots=shots, mitigate=mitigate, fractional=fractional), seed
            )
        )
        self._estimator = LoweringEstimator(
            self._executor, precision=self.precision, fractional=fractional
        )

    def estimator(self) -> LoweringEstimator:
        """Return the primitive, shared by all layers of this backend."""
        return self._estimator

    def at_round(self, number: int) -> None:
        """Go on with the errors of this round."""
        if isinstance(self._executor, TrajectoryExecutor):
            self._executor.rounds = number
        else:
            self._executor.at_round(number)

    def _mitigating(self, options: QpuOptions, seed: int | None) -> HardwareExecutor:
        """Return what runs circuits as a fake QPU does."""
        if options.fractional:
            self.target = with_fractional_gates(self.target)
        client = LocalClient(self.target, seed=seed)
        one = Packing(1, self.target)
        return HardwareExecutor(
            self.name, self.target, client, options.settings, packing=one, ledger=Ledger(None)
        )
