"""Small circuits for devices, with the values that an ideal one would return."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap, Target

from qhybrid_circuits import VariationalCircuit


def ring(num_qubits: int = 3, name: str = "ring") -> VariationalCircuit:
    """Angle encoding, then a ring of controlled rotations; Z on every qubit."""
    inputs = ParameterVector("inputs", num_qubits)
    weights = ParameterVector("weights", num_qubits)
    circuit = QuantumCircuit(num_qubits, name=name)
    for qubit in range(num_qubits):
        circuit.ry(inputs[qubit], qubit)
    for qubit in range(num_qubits):
        circuit.crx(weights[qubit], qubit, (qubit + 1) % num_qubits)
    observables = tuple(
        SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits)
        for qubit in range(num_qubits)
    )
    return VariationalCircuit(name, circuit, tuple(inputs), tuple(weights), observables)


def pub_of(variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray) -> tuple:
    """Return one PUB: all observables against all samples."""
    rows = np.concatenate([inputs, np.tile(weights, (len(inputs), 1))], axis=1)
    return (variational.circuit, [[o] for o in variational.observables], rows)


def ideal_values(
    variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return exact values (n_observables, B) from Qiskit's own states."""
    states = [
        Statevector(
            variational.circuit.assign_parameters(
                dict(zip(variational.inputs, row, strict=True))
                | dict(zip(variational.weights, weights, strict=True))
            )
        )
        for row in inputs
    ]
    return np.array(
        [[s.expectation_value(o).real for s in states] for o in variational.observables]
    )


def ideal_lattice(rows: int, columns: int) -> Target:
    """Return a square lattice without any error."""
    return Target.from_configuration(
        ["rz", "sx", "x", "cz", "measure"],
        num_qubits=rows * columns,
        coupling_map=CouplingMap.from_grid(rows, columns),
    )
