import math
from collections.abc import Iterable

from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits.lowering.targets import target_of


def success_probability(
    circuit: QuantumCircuit, target: Target | BackendV2, measured: Iterable[int]
) -> float | None:
    """Return the estimated success probability (ESP) of a lowered circuit: of no error at all.

    It is the product of (1 - error) over all gates and over the readout of the measured qubits, and
    of the entanglement fidelity of thermal relaxation, (1 + exp(-t/T1) + 2 exp(-t/T2)) / 4, over
    the time t that each qubit idles. Gates start as late as possible, and a qubit idles only after
    its first gate: before, it is in the ground state. Idling is left out where the target has no
    durations or no T1 and T2.

    Args:
        circuit: In the target's gates, on its qubits, without measurements.
        target: The QPU, or a backend of it.
        measured: The physical qubits that are measured at the end.

    Returns:
        The ESP, or None where the target lacks the error of a gate in use or of the readout.

    Raises:
        RequestError: `target` is neither a Target nor a backend.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_circuits import success_probability
        >>> circuit = QuantumCircuit(5)
        >>> _ = circuit.sx(0)
        >>> 0.9 < success_probability(circuit, FakeManilaV2().target, [0]) < 1
        True
    """
    target = target_of(target)
    log_success = 0.0
    end = [0.0] * circuit.num_qubits  # seconds from a qubit's earliest gate so far to readout
    busy = [0.0] * circuit.num_qubits
    timed = True
    for item in reversed(circuit.data):
        name = item.operation.name
        if name == "barrier":
            continue
        place = tuple(circuit.find_bit(bit).index for bit in item.qubits)
        properties = _properties(target, name, place)
        if properties is None or properties.error is None:
            return None
        log_success += _log(1.0 - properties.error)
        if properties.duration is None:
            timed = False
        else:
            start = max(end[qubit] for qubit in place) + properties.duration
            for qubit in place:
                end[qubit] = start
                busy[qubit] += properties.duration
    if timed:
        log_success += sum(
            _log(idle_success(target, qubit, end[qubit] - busy[qubit]))
            for qubit in range(circuit.num_qubits)
            if end[qubit] > busy[qubit]
        )
    for qubit in measured:
        readout = _properties(target, "measure", (qubit,))
        if readout is None or readout.error is None:
            return None
        log_success += _log(1.0 - readout.error)
    return math.exp(log_success)


def _properties(target: Target, name: str, place: tuple[int, ...]) -> InstructionProperties | None:
    placed = target[name] if name in target.operation_names else None
    return None if placed is None else placed.get(place)


def idle_success(target: Target, qubit: int, seconds: float) -> float:
    """Return the entanglement fidelity of a qubit that idles; 1 if T1 or T2 is unknown."""
    properties = target.qubit_properties
    qubit_properties = None if properties is None else properties[qubit]
    if qubit_properties is None or not qubit_properties.t1 or not qubit_properties.t2:
        return 1.0
    amplitude = math.exp(-seconds / qubit_properties.t1)
    # A published T2 above 2*T1 is a fit's error, not physics.
    coherence = math.exp(-seconds / min(qubit_properties.t2, 2 * qubit_properties.t1))
    return (1.0 + amplitude + 2.0 * coherence) / 4.0


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0.0 else -math.inf
