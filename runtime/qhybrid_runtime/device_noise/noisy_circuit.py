from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, CircuitInstruction, Delay, Qubit

from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.engine.error_site import ErrorSite


@dataclass(frozen=True)
class FaultLocation:
    """A Pauli channel at some error sites of a circuit.

    Attributes:
        sites: Numbers of the sites, in the order of the channel's qubits.
        channel: The Pauli strings that strike there, with their probabilities.
    """

    sites: tuple[int, ...]
    channel: PauliChannel


@dataclass(frozen=True, eq=False)
class NoisyCircuit:
    """A circuit with error sites, and the errors that may happen there.

    Attributes:
        circuit: With `ErrorSite`s; site i is the i-th of them in the order of the instructions.
        num_sites: Number of sites.
        locations: Channels at the sites, independent of each other.
    """

    circuit: QuantumCircuit
    num_sites: int
    locations: tuple[FaultLocation, ...]


def with_device_noise(
    circuit: QuantumCircuit, noise: DeviceNoise, qubits: Sequence[int], *, idling: bool = True
) -> NoisyCircuit:
    """Put error sites where device noise strikes a lowered circuit.

    Noise follows the gate that it belongs to, with one exception that reduces the sites to a third:
    that of single-qubit gates joins the noise of the two-qubit gate before them. The order makes no
    difference to depolarizing noise, and next to none to relaxation within the few nanoseconds of a
    single-qubit gate (outputs move by less than 0.001). Noise before a qubit's first two-qubit gate
    is gathered ahead of that gate.

    Waiting times follow from scheduling every gate as late as possible; a qubit that no gate has
    touched yet waits in |0>, which does not relax.

    Args:
        circuit: Made of the target's gates, unmeasured.
        noise: The device noise.
        qubits: The physical qubit that each of the circuit's qubits is.
        idling: Whether qubits that wait relax.

    Raises:
        CircuitError: The target has no gate on the qubits of one of the circuit's gates.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit_ibm_runtime.fake_provider import FakeManilaV2
        >>> from qhybrid_runtime.device_noise import DeviceNoise, with_device_noise
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.cx(0, 1)
        >>> noisy = with_device_noise(circuit, DeviceNoise(FakeManilaV2().target), qubits=[0, 1])
        >>> noisy.num_sites > 0
        True
    """
    waits = waiting_times(circuit, noise, qubits) if idling else None
    builder = _Builder(circuit)
    for number, instruction in enumerate(circuit.data):
        channel = noise_after(instruction, circuit, noise, qubits, waits[number] if waits else ())
        builder.add(instruction, channel)
    return builder.built()


class _Builder:
    """A circuit that grows by instructions and error sites."""

    def __init__(self, circuit: QuantumCircuit) -> None:
        self.circuit = circuit.copy_empty_like()
        self._sites = 0
        self._locations: list[FaultLocation] = []
        # For each qubit the last location on it and the qubit's place there; before there is one,
        # the qubit's noise so far.
        self._last: dict[Qubit, tuple[int, int]] = {}
        self._before: dict[Qubit, PauliChannel] = {}

    def add(self, instruction: CircuitInstruction, channel: PauliChannel | None) -> None:
        """Add an instruction and the noise after it."""
        if isinstance(instruction.operation, Barrier):
            self.circuit.append(instruction)
            return
        if len(instruction.qubits) > 1:
            for qubit in instruction.qubits:
                self._strike_before(qubit)
                self._last.pop(qubit, None)
            self.circuit.append(instruction)
            if channel is not None:
                self._strike(instruction.qubits, channel)
            return
        self.circuit.append(instruction)
        (qubit,) = instruction.qubits
        if channel is None:
            return
        if qubit in self._last:
            number, place = self._last[qubit]
            sites, old = self._locations[number].sites, self._locations[number].channel
            joined = old.then(channel.on([place], len(sites)))
            self._locations[number] = FaultLocation(sites, joined)
        else:
            known = self._before.get(qubit)
            self._before[qubit] = channel if known is None else known.then(channel)

    def built(self) -> NoisyCircuit:
        """Return the circuit with all noise in it."""
        for qubit in self.circuit.qubits:
            self._strike_before(qubit)
        return NoisyCircuit(self.circuit, self._sites, tuple(self._locations))

    def _strike_before(self, qubit: Qubit) -> None:
        channel = self._before.pop(qubit, None)
        if channel is not None:
            self._strike((qubit,), channel)

    def _strike(self, qubits: Sequence[Qubit], channel: PauliChannel) -> None:
        if not channel.error_probability:
            return
        for place, qubit in enumerate(qubits):
            self.circuit.append(ErrorSite(), [qubit])
            self._last[qubit] = (len(self._locations), place)
        sites = tuple(range(self._sites, self._sites + len(qubits)))
        self._locations.append(FaultLocation(sites, channel))
        self._sites += len(qubits)


def noise_after(
    instruction: CircuitInstruction,
    circuit: QuantumCircuit,
    noise: DeviceNoise,
    qubits: Sequence[int],
    waits: Sequence[float],
) -> PauliChannel | None:
    """Return the noise of one of a circuit's instructions and of its qubits' waiting, or None.

    `qubits` are the physical qubits of the circuit's qubits, `waits` the seconds that each of the
    instruction's qubits waits afterwards; empty where waiting is ignored.
    """
    if isinstance(instruction.operation, Barrier):
        return None
    places = tuple(qubits[circuit.find_bit(bit).index] for bit in instruction.qubits)
    delay = isinstance(instruction.operation, Delay)
    parts = [None if delay else noise.after(instruction.operation.name, places)]
    for index, seconds in enumerate(waits):
        waiting = noise.idling(places[index], seconds)
        parts.append(waiting and waiting.on([index], len(places)))
    noisy = [part for part in parts if part is not None]
    return reduce(PauliChannel.then, noisy) if noisy else None


def waiting_times(
    circuit: QuantumCircuit, noise: DeviceNoise, qubits: Sequence[int]
) -> list[list[float]]:
    """Return the seconds that each qubit of each instruction waits for its next one.

    Every instruction starts as late as possible, so that nothing waits at the end. A delay's own
    duration counts as waiting; barriers hold nothing up.
    """
    # Counted backwards, from the end of the circuit.
    begins = [0.0] * circuit.num_qubits
    waits: list[list[float]] = []
    for instruction in reversed(circuit.data):
        local = [circuit.find_bit(bit).index for bit in instruction.qubits]
        operation = instruction.operation
        if isinstance(operation, Barrier):
            waits.append([0.0] * len(local))
            continue
        end = max((begins[qubit] for qubit in local), default=0.0)
        if isinstance(operation, Delay):
            duration = noise.delay_seconds(operation)
            waits.append([duration])
        else:
            duration = noise.duration(operation.name, tuple(qubits[qubit] for qubit in local))
            waits.append([end - begins[qubit] for qubit in local])
        for qubit in local:
            begins[qubit] = end + duration
    return waits[::-1]
