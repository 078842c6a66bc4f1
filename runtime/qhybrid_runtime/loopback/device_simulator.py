from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Measure, Parameter
from qiskit.transpiler import Target

from qhybrid_runtime.device_noise.region_simulator import RegionSimulator

Binds = Mapping[Parameter, Sequence[float]]


class DeviceSimulator(RegionSimulator):
    """A simulator of whole QPUs, of which a circuit uses a few qubits.

    The client measures, and twirls, every qubit of a QPU. Qubits that no gate connects with another
    have a state of two numbers, which needs no simulator: their gates err as depolarizing channels
    of the calibrated infidelity here, and do not relax. All others are `RegionSimulator`'s.
    """

    def __init__(self, target: Target) -> None:
        """Prepare to simulate circuits in the gates of `target`."""
        super().__init__(target)
        self._full = target

    def __deepcopy__(self, memo: dict[int, object]) -> "DeviceSimulator":
        return type(self)(self._full)

    def _bits(
        self, circuit: QuantumCircuit, binds: Binds, shots: int, rng: Generator
    ) -> np.ndarray:
        lone, rest = _split(circuit)
        bits = super()._bits(rest, binds, shots, rng)
        values = {name: np.asarray(column, dtype=float) for name, column in binds.items()}
        for (qubit, clbit), gates in lone.items():
            one = _probability_of_one(gates, self._full, qubit, values, len(bits))
            confusion = self._noise.confusion(qubit)
            read = one * confusion[1, 1] + (1 - one) * confusion[0, 1]
            bits[..., clbit] = rng.random(bits.shape[:2]) < read[:, None]
        return bits


class CoinSimulator(DeviceSimulator):
    """A mock device: whatever it is asked, its readings are coin flips."""

    def _bits(
        self, circuit: QuantumCircuit, binds: Binds, shots: int, rng: Generator
    ) -> np.ndarray:
        rows = len(next(iter(binds.values()))) if binds else 1
        return rng.random((rows, shots, circuit.num_clbits)) < 0.5


_Gate = tuple[str, object]
_Lone = dict[tuple[int, int], list[_Gate]]


def _split(circuit: QuantumCircuit) -> tuple[_Lone, QuantumCircuit]:
    """Return the gates of lone qubits by (qubit, classical bit), and the circuit without them."""
    gates: dict[int, list[_Gate]] = {q: [] for q in range(circuit.num_qubits)}
    read: dict[int, list[int]] = {}
    for item in circuit.data:
        qubits = [circuit.find_bit(bit).index for bit in item.qubits]
        if isinstance(item.operation, Measure):
            read.setdefault(qubits[0], []).append(circuit.find_bit(item.clbits[0]).index)
        elif not isinstance(item.operation, Barrier):
            angle = (item.operation.params or [None])[0]
            simple = len(qubits) == 1 and item.operation.name in _MATRICES and qubits[0] not in read
            for qubit in qubits:
                if simple and isinstance(angle, Parameter | float | int | None):
                    gates.get(qubit, []).append((item.operation.name, angle))
                else:
                    gates.pop(qubit, None)
    lone = {(q, read[q][0]): gates[q] for q in gates if len(read.get(q, ())) == 1}
    rest, apart = circuit.copy_empty_like(), {qubit for qubit, _ in lone}
    for item in circuit.data:
        if circuit.find_bit(item.qubits[0]).index not in apart and item.operation.name != "barrier":
            rest.append(item, copy=False)
    return lone, rest


def _rz(angle: np.ndarray) -> np.ndarray:
    half, zero = np.exp(0.5j * angle), np.zeros_like(angle)
    return np.array([[half.conj(), zero], [zero, half]])


def _rx(angle: np.ndarray) -> np.ndarray:
    same, other = np.cos(angle / 2) + 0j, -1j * np.sin(angle / 2)
    return np.array([[same, other], [other, same]])


#: Matrices (2, 2, n_rows) of the gates of one qubit that IBM's QPUs have, up to a phase.
_MATRICES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "id": lambda angle: _rz(0 * angle),
    "rx": _rx,
    "rz": _rz,
    "sx": lambda angle: _rx(0 * angle + np.pi / 2),
    "x": lambda angle: _rx(0 * angle + np.pi),
}


def _probability_of_one(
    gates: Sequence[_Gate],
    target: Target,
    qubit: int,
    values: Mapping[Parameter, np.ndarray],
    rows: int,
) -> np.ndarray:
    """Return p(1) before readout of a qubit with these gates alone, shape (n_rows,)."""
    state = np.zeros((2, rows), dtype=complex)
    state[0], kept = 1.0, 1.0
    for name, angle in gates:
        angles = values[angle] if isinstance(angle, Parameter) else np.full(rows, angle or 0.0)
        state = np.einsum("ijr,jr->ir", _MATRICES[name](angles), state)
        known: Mapping[Any, Any] = target[name] or {}
        properties = known.get((qubit,))
        # A depolarizing channel shrinks the Bloch vector by 1 - 2 e for an average infidelity e.
        kept *= 1 - 2 * min(0.5, (properties and properties.error) or 0.0)
    ideal = np.abs(state[1]) ** 2
    return np.asarray(kept * ideal + (1 - kept) / 2)
