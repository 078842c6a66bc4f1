"""Random parameterized circuits from Qiskit's standard gates, for property tests."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import VariationalCircuit

STANDARD_GATES: dict[str, Gate] = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and gate.num_qubits <= 3
}


def random_angle(
    rng: np.random.Generator, inputs: ParameterVector, weights: ParameterVector
) -> ParameterExpression | float:
    x = inputs[int(rng.integers(len(inputs)))]
    w = weights[int(rng.integers(len(weights)))]
    forms = (
        w,
        x,
        2 * np.pi * w,
        0.3 * x - 1.2,
        x * w,
        (np.pi - x) * (0.5 + w),
        w + x,
        (w * 0.7).sin() + x**2,
        float(rng.normal()),
    )
    return forms[int(rng.integers(len(forms)))]


def random_variational(
    rng: np.random.Generator, num_qubits: int, num_gates: int, num_observables: int = 3
) -> VariationalCircuit:
    inputs, weights = ParameterVector("x", 3), ParameterVector("θ", 4)
    circuit = QuantumCircuit(num_qubits)
    names = [n for n, gate in STANDARD_GATES.items() if 0 < gate.num_qubits <= num_qubits]
    for name in rng.choice(names, num_gates):
        template = STANDARD_GATES[name]
        gate = template.base_class(*(random_angle(rng, inputs, weights) for _ in template.params))
        qubits = rng.permutation(num_qubits)[: gate.num_qubits]
        circuit.append(gate, [int(q) for q in qubits])
    observables = [
        SparsePauliOp(
            ["".join(rng.choice(list("IXYZ"), num_qubits)) for _ in range(3)], rng.normal(size=3)
        )
        for _ in range(num_observables)
    ]
    return VariationalCircuit("random", circuit, tuple(inputs), tuple(weights), tuple(observables))


def exact_values(
    variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Expectation values (B, n_obs) by qiskit.quantum_info for inputs (B, n_in), weights (n_w,)."""
    bound = variational.bind_weights(weights)
    rows = []
    for sample in inputs:
        values: dict[Parameter, float] = {
            p: float(v)
            for p, v in zip(variational.inputs, sample, strict=True)
            if bound.has_parameter(p)
        }
        state = Statevector(bound.assign_parameters(values))
        rows.append([state.expectation_value(o).real for o in variational.observables])
    return np.array(rows)
