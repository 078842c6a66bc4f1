import math

import numpy as np
from qiskit.circuit import Delay, Measure
from qiskit.transpiler import InstructionProperties, Target
from qiskit.utils import apply_prefix
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

from qhybrid_circuits import CircuitError
from qhybrid_circuits.caching import Cache
from qhybrid_runtime.device_noise.channels import PauliChannel

Qubits = tuple[int, ...]

#: Gates on their qubits whose noise is kept: those of a thousand qubits.
_KEPT = 1 << 13

#: Noise by calibration, which devices share that are loaded more than once.
_CALIBRATED: Cache[PauliChannel | None] = Cache(_KEPT)


class DeviceNoise:
    """The Pauli-twirled noise of a QPU, from its target's calibration data.

    Gate and readout errors are those of Aer's device model: thermal relaxation over the gate's
    duration, and depolarizing noise for the rest of the calibrated error.
    """

    def __init__(self, target: Target) -> None:
        """Read noise from `target`, which must not be changed afterwards."""
        self.target = target
        self._channels: Cache[PauliChannel | None] = Cache(_KEPT)
        self._confusion: Cache[np.ndarray] = Cache(_KEPT)

    def after(self, name: str, qubits: Qubits) -> PauliChannel | None:
        """Return the noise that follows a gate, or None where the gate has none.

        Raises:
            CircuitError: The target does not have this gate on these qubits.
        """
        return self._channels.get((name, qubits), lambda: self._twirled(name, qubits))

    def duration(self, name: str, qubits: Qubits) -> float:
        """Return how long a gate takes, in seconds; 0 where it is not known."""
        properties = self._properties(name, qubits)
        return (properties and properties.duration) or 0.0

    def delay_seconds(self, delay: Delay) -> float:
        """Return the duration of a delay in seconds.

        Raises:
            CircuitError: It is not a number, or in units of a time step that the target lacks.
        """
        duration, unit = delay.params[0], delay.unit
        step = self.target.dt if unit == "dt" else 1.0
        if step is None or not isinstance(duration, (int, float)):
            raise CircuitError(
                f"Delay of {duration} {unit} must be a number of seconds or of the device's time "
                "steps; bind its parameters, or give it in seconds"
            )
        seconds: float = duration * step if unit == "dt" else apply_prefix(duration, unit)
        return seconds

    def idling(self, qubit: int, seconds: float) -> PauliChannel | None:
        """Return the noise of a qubit that waits, or None where its relaxation is not known."""
        known = self.target.qubit_properties
        if not known or known[qubit] is None or not seconds:
            return None
        t1, t2 = known[qubit].t1, known[qubit].t2
        if t1 is None and t2 is None:
            return None
        return PauliChannel.relaxation(seconds, t1 or math.inf, t2 or math.inf)

    def confusion(self, qubit: int) -> np.ndarray:
        """Return p(read m | is t) at [t, m], shape (2, 2)."""

        def readout() -> np.ndarray:
            named = "measure" in self.target.operation_names
            properties = self._properties("measure", (qubit,)) if named else None
            if properties is None or properties.error is None:
                return np.eye(2)
            measured = Target(num_qubits=1)
            measured.add_instruction(Measure(), {(0,): properties})
            ((_, error),) = basic_device_readout_errors(target=measured)
            return np.asarray(error.probabilities)

        return self._confusion.get(qubit, readout)

    def _properties(self, name: str, qubits: Qubits) -> InstructionProperties | None:
        target = self.target
        places = target[name] if name in target.operation_names else {}
        # A gate without places of its own is ideal everywhere.
        if places is None or None in places:
            return None
        if qubits not in places:
            raise CircuitError(
                f"Gate '{name}' on qubits {list(qubits)} is not one of the target's; lower the "
                "circuit for this target first"
            )
        return places[qubits]

    def _twirled(self, name: str, qubits: Qubits) -> PauliChannel | None:
        properties = self._properties(name, qubits)
        if properties is None or not (properties.error or properties.duration):
            return None
        known = self.target.qubit_properties
        own = [known[q] for q in qubits] if known else None

        def make() -> PauliChannel | None:
            # Aer computes the errors of a whole target; this one has a single gate.
            small = Target(num_qubits=len(qubits), qubit_properties=own)
            gate = self.target.operation_from_name(name)
            small.add_instruction(gate, {tuple(range(len(qubits))): properties}, name)
            errors = basic_device_gate_errors(target=small, thermal_relaxation=bool(known))
            return PauliChannel.twirled(errors[0][2]) if errors else None

        relaxation = tuple(each and (each.t1, each.t2, each.frequency) for each in own or ())
        calibration = properties.error, properties.duration, relaxation
        return _CALIBRATED.get((name, len(qubits), calibration), make)
