"""The circuits that are timed, with the numbers that go into them."""

from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import fqconv, hqconv

#: One- and two-qubit gates that every peer has under some name.
GATES = [
    "h",
    "s",
    "t",
    "sx",
    "x",
    "y",
    "z",
    "rx",
    "ry",
    "rz",
    "p",
    "u",
    "cx",
    "cy",
    "cz",
    "ch",
    "swap",
    "crx",
    "cry",
    "crz",
    "cp",
    "rxx",
    "ryy",
    "rzz",
]  # fmt: skip

#: How many of a random circuit's angles carry data; the others are weights.
DATA_SHARE = 0.2


@dataclass(frozen=True)
class Case:
    """One circuit with a batch, and the cotangent of its vector-Jacobian product.

    Attributes:
        variational: The circuit.
        inputs: Shape (B, n_inputs).
        weights: Shape (n_weights,).
        cotangent: Shape (B, n_outputs).
    """

    variational: VariationalCircuit
    inputs: np.ndarray
    weights: np.ndarray
    cotangent: np.ndarray

    def head(self, samples: int) -> "Case":
        """Return the case of the first samples only."""
        return Case(self.variational, self.inputs[:samples], self.weights, self.cotangent[:samples])


def case(variational: VariationalCircuit, batch: int, seed: int = 0) -> Case:
    """Return a circuit with random numbers in single precision."""
    rng = np.random.default_rng(seed)
    shapes = ((batch, variational.num_inputs), (batch, variational.num_outputs))
    inputs, cotangent = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    weights = rng.random(variational.num_weights).astype(np.float32)
    return Case(variational, inputs, weights, cotangent)


def random_circuit(num_qubits: int, num_gates: int, seed: int = 0) -> VariationalCircuit:
    """Return random gates on random qubits, <Z> of each qubit, and an input a qubit.

    Some angles are inputs, anywhere in the circuit, so that their gates differ from sample to
    sample; each of the others is a weight of its own, in radians.
    """
    rng = np.random.default_rng(seed)
    known = get_standard_gate_name_mapping()
    inputs = ParameterVector("x", num_qubits)
    weights: list[Parameter] = []
    circuit = QuantumCircuit(num_qubits)

    def angle() -> Parameter:
        if rng.random() < DATA_SHARE:
            return inputs[int(rng.integers(num_qubits))]
        weights.append(Parameter(f"w{len(weights)}"))
        return weights[-1]

    for name in rng.choice(GATES, num_gates):
        template: Gate = known[name]
        gate = template.base_class(*(angle() for _ in template.params))
        circuit.append(gate, [int(q) for q in rng.permutation(num_qubits)[: gate.num_qubits]])
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits)
        for qubit in range(num_qubits)
    ]
    return VariationalCircuit(
        f"random, {num_gates} gates", circuit, tuple(inputs), tuple(weights), tuple(observables)
    )


def circuits(small: bool = False) -> dict[str, VariationalCircuit]:
    """Return the circuits by the name that the tables use."""
    if small:
        return {
            "HQConv": hqconv(channels=1, layers=1),
            "FQConv": fqconv(channels=1, layers=1),
            "random circuit": random_circuit(4, 30),
        }
    return {"HQConv": hqconv(), "FQConv": fqconv(), "random circuit": random_circuit(12, 200)}


def z_qubit(observable: SparsePauliOp) -> int:
    """Return the qubit whose <Z> an observable is."""
    (qubit,) = np.flatnonzero(observable.paulis.z[0]).tolist()
    return int(qubit)
