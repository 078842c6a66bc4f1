import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterVector
from qiskit.circuit.library import (
    CPhaseGate,
    CRXGate,
    CUGate,
    MCPhaseGate,
    RXGate,
    RYGate,
    RZZGate,
)
from qiskit.quantum_info import Operator

from qhybrid_runtime.engine.fusion import block_of
from qhybrid_runtime.engine.gates import PARAMETERIZED, gate_series
from qhybrid_runtime.engine.patterns import Kind, embedding, pattern_of
from qhybrid_runtime.engine.program import compile_program


def matrix_of(name: str, angles: np.ndarray) -> np.ndarray:
    series = gate_series(name)
    waves = np.exp(1j * (series.frequencies @ angles))
    values = np.append((series.coefficients * waves).sum(axis=1), 0)
    return values[series.value]


@pytest.mark.parametrize("name", sorted(PARAMETERIZED))
def test_series_is_qiskits_matrix(name: str, rng) -> None:
    gate = PARAMETERIZED[name]
    active = slice((1 << getattr(gate, "num_ctrl_qubits", 0)) - 1, None)
    step = 1 << getattr(gate, "num_ctrl_qubits", 0)
    for _ in range(5):
        angles = rng.uniform(-7, 7, len(gate.params))
        expected = gate.base_class(*angles).to_matrix()[active, active][::step, ::step]
        np.testing.assert_allclose(matrix_of(name, angles), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("gate", "base"),
    [
        (CRXGate(0.3), "rx"),
        (CRXGate(0.3, ctrl_state=0), "rx"),
        (CPhaseGate(1.1), "p"),
        (CUGate(0.1, 0.2, 0.3, 0.4), "cu"),
        (CUGate(0.1, 0.2, 0.3, 0.4, ctrl_state=0), "cu"),
        (RYGate(0.7).control(2, ctrl_state=1, annotated=False), "ry"),
        (RXGate(0.7).control(2, ctrl_state=2, annotated=False), "rx"),
        (RZZGate(0.9).control(1, annotated=False), "rzz"),
        (MCPhaseGate(0.5, 2), "p"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_controls_are_the_least_significant_bits(gate: Gate, base: str) -> None:
    qubits = range(gate.num_qubits)
    circuit = QuantumCircuit(gate.num_qubits)
    angles = ParameterVector("a", len(gate.params))
    symbolic = gate.copy()
    symbolic.params = list(angles)
    circuit.append(symbolic, qubits)
    (operation,) = compile_program(circuit).operations
    assert operation.base == base
    entries = np.append(matrix_of(base, np.array(gate.params)).reshape(-1), [1, 0])
    actual = entries[embedding(operation, qubits)]
    np.testing.assert_allclose(actual, Operator(gate).data, atol=1e-14)


@pytest.mark.parametrize(
    ("build", "kinds"),
    [
        (lambda c, a: c.ry(a, 0), [Kind.REAL]),
        (lambda c, a: c.rx(a, 0), [Kind.CROSS]),
        (lambda c, a: c.rz(a, 0), [Kind.PHASE, Kind.PHASE]),
        (lambda c, a: c.p(a, 0), [Kind.PHASE]),
        (lambda c, a: c.u(a, 0.1, 0.2, 0), [Kind.PAIR]),
        (lambda c, a: c.rxx(a, 0, 1), [Kind.CROSS, Kind.CROSS]),
        (lambda c, a: c.rzz(a, 0, 1), [Kind.PHASE] * 4),
        (lambda c, a: c.swap(0, 1), [Kind.EXCHANGE]),
        (lambda c, a: c.cx(0, 1), [Kind.EXCHANGE]),
        (lambda c, a: c.cz(0, 1), [Kind.PHASE]),
        (lambda c, a: c.h(0), [Kind.REAL]),
        (lambda c, a: (c.crz(a, 0, 1), c.crx(a, 0, 1)), [Kind.PAIR]),
        (lambda c, a: (c.rxx(a, 0, 1), c.ry(a, 0)), [Kind.DENSE]),
        (lambda c, a: (c.x(0), c.x(0)), []),
    ],
)
def test_a_gate_is_as_many_parts_as_its_matrix_has(build, kinds) -> None:
    circuit = QuantumCircuit(2)
    build(circuit, ParameterVector("a", 1)[0])
    block = block_of(compile_program(circuit).operations)
    assert [part.kind for part in block.pattern.parts] == kinds


@pytest.mark.parametrize("name", sorted(PARAMETERIZED))
def test_entries_outside_the_pattern_are_zero(name: str, rng) -> None:
    gate = PARAMETERIZED[name]
    if not gate.num_qubits:
        return
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate.base_class(*ParameterVector("a", len(gate.params))), range(gate.num_qubits))
    (operation,) = compile_program(circuit).operations
    pattern = pattern_of([operation], operation.qubits)
    bound = gate.base_class(*rng.uniform(-7, 7, len(gate.params)))
    matrix = Operator(bound).data
    assert not matrix.real[~pattern.real].any()
    assert not matrix.imag[~pattern.imaginary].any()
    assert np.array_equal(matrix[pattern.idle], np.eye(len(matrix))[pattern.idle])
