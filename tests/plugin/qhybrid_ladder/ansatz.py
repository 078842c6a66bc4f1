from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import VariationalCircuit


def ladder(*, qubits: int = 4, layers: int = 1) -> VariationalCircuit:
    """Return RY rotations and ladders of CZ on inputs that RX rotations encode."""
    inputs = ParameterVector("inputs", qubits)
    weights = ParameterVector("weights", layers * qubits)
    circuit = QuantumCircuit(qubits, name="ladder")
    for qubit in range(qubits):
        circuit.rx(inputs[qubit], qubit)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.ry(weights[layer * qubits + qubit], qubit)
        for qubit in range(qubits - 1):
            circuit.cz(qubit, qubit + 1)
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1)], qubits) for q in range(qubits)]
    return VariationalCircuit("ladder", circuit, inputs, weights, observables)
