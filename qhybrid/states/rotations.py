"""The circuit of a reverse step: Pauli rotations on the qubits of the state and on ancillas."""

from qiskit.circuit import ParameterVector, QuantumCircuit

_GATES = {"X": "rx", "Y": "ry", "Z": "rz", "XX": "rxx", "YY": "ryy", "ZZ": "rzz"}

Rotation = tuple[str, tuple[int, ...]]
"""The Pauli operator, e.g. "ZZ", and its qubits."""


def layered_rotations(num_qubits: int, ancillas: int, layers: int) -> list[Rotation]:
    """Return layers of RX, RZ on each qubit and RXX, RZZ on each pair, with RX, RZ at the end.

    At zero weights it is the identity, the reverse of a step without noise. The ancillas, which
    come after the qubits, are traced out: rotations at the end that act on them alone change
    nothing, and are left out.
    """
    qubits = range(num_qubits + ancillas)
    single: list[Rotation] = [(pauli, (qubit,)) for pauli in "XZ" for qubit in qubits]
    pairs: list[Rotation] = [
        (pauli, (low, high))
        for pauli in ("XX", "ZZ")
        for low in qubits
        for high in qubits
        if low < high
    ]
    last = [(pauli, pair) for pauli, pair in pairs if pauli == "XX" or pair[0] < num_qubits]
    end = [(pauli, pair) for pauli, pair in single if pair[0] < num_qubits]
    return (single + pairs) * (layers - 1) + single + last + end


def rotation_circuit(num_qubits: int, rotations: list[Rotation]) -> QuantumCircuit:
    """Return the circuit with one parameter a rotation, in radians, named w."""
    circuit = QuantumCircuit(num_qubits, name="reverse_step")
    weights = ParameterVector("w", len(rotations))
    for (pauli, qubits), weight in zip(rotations, weights, strict=True):
        getattr(circuit, _GATES[pauli])(weight, *qubits)
    return circuit
