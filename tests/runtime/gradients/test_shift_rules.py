import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterVector
from qiskit.circuit.library import (
    CRXGate,
    CRZGate,
    MCPhaseGate,
    PhaseGate,
    RXGate,
    RZZGate,
    get_standard_gate_name_mapping,
)
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_statevector

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_runtime.gradients.angle_circuit import AngleCircuit
from qhybrid_runtime.gradients.shift_rules import shift_rules

PARAMETERIZED = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and gate.params and gate.num_qubits
}


def value(gate: Gate, state: Statevector, observable: SparsePauliOp) -> float:
    return state.evolve(Operator(gate)).expectation_value(observable).real


@pytest.mark.parametrize("name", PARAMETERIZED)
def test_rules_of_standard_gates_are_derivatives(name: str, rng) -> None:
    gate = PARAMETERIZED[name].base_class
    angles = rng.uniform(-3, 3, len(PARAMETERIZED[name].params))
    qubits = PARAMETERIZED[name].num_qubits
    state = random_statevector(2**qubits, seed=rng)
    observable = SparsePauliOp.from_operator(random_hermitian(2**qubits, rng))
    rules = shift_rules(gate(*angles))
    assert rules is not None
    for index, rule in enumerate(rules):

        def f(shift: float, index: int = index) -> float:
            moved = angles + shift * (np.arange(len(angles)) == index)
            return value(gate(*moved), state, observable)

        found = sum(c * (f(s) - f(-s)) for s, c in zip(rule.shifts, rule.coefficients, strict=True))
        assert found == pytest.approx((f(1e-5) - f(-1e-5)) / 2e-5, abs=1e-8)


def random_hermitian(size: int, rng: np.random.Generator) -> np.ndarray:
    matrix = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    return matrix + matrix.conj().T


@pytest.mark.parametrize(
    ("name", "terms"),
    [("rx", 2), ("rz", 2), ("p", 2), ("cp", 2), ("rzz", 2), ("crx", 4), ("cry", 4), ("crz", 4)],
)
def test_two_and_four_terms(name: str, terms: int) -> None:
    (rule,) = shift_rules(PARAMETERIZED[name])
    assert 2 * len(rule.shifts) == terms


def test_the_four_term_rule_is_the_published_one() -> None:
    # Anselmetti et al. (2021), equation (7): shifts pi/2 and 3 pi/2.
    (rule,) = shift_rules(CRZGate(0.3))
    np.testing.assert_allclose(rule.shifts, [np.pi / 2, 3 * np.pi / 2])
    root = np.sqrt(2)
    np.testing.assert_allclose(
        rule.coefficients, [(root + 1) / (4 * root), -(root - 1) / (4 * root)]
    )


def angle_circuit_of(circuit: QuantumCircuit) -> AngleCircuit:
    observable = SparsePauliOp("Z" * circuit.num_qubits)
    weights = tuple(circuit.parameters)
    return AngleCircuit(VariationalCircuit("test", circuit, (), weights, (observable,)))


def test_every_occurrence_is_an_angle_and_the_circuit_is_the_same(rng) -> None:
    w = ParameterVector("w", 2)
    own = QuantumCircuit(2, name="rx")  # a name that says another thing than what it is
    own.crx(2 * np.pi * w[0], 0, 1)
    circuit = QuantumCircuit(3, global_phase=w[1])
    circuit.append(own.to_gate(), [2, 0])
    circuit.append(RXGate(w[0] * w[1]).control(2, annotated=False), [0, 1, 2])
    circuit.append(CRXGate(w[1] + 0.3, ctrl_state=0), [2, 1])
    circuit.append(MCPhaseGate(w[0], 2), [0, 1, 2])
    circuit.append(RZZGate(0.4), [0, 1])
    circuit.append(PhaseGate(w[1].sin()).power(2), [0])
    circuit.rx(w[0] + 2 * w[1], 2)
    angles = angle_circuit_of(circuit)
    assert angles.circuit.num_parameters == len(angles.expressions) == len(angles.rules)
    values = dict(zip(w, rng.normal(size=2).tolist(), strict=True))
    numbers = [
        float(expression.bind({p: values[p] for p in expression.parameters}))
        for expression in angles.expressions
    ]
    bound = angles.circuit.assign_parameters(numbers)
    assert Operator(bound).equiv(Operator(circuit.assign_parameters(values)), atol=1e-10)


def test_which_angles_depend_on_a_parameter() -> None:
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.u(w[0], 0.3, w[0] * w[1], 0)
    circuit.rx(w[1], 0)
    angles = angle_circuit_of(circuit)
    assert angles.depends({w[0]}) == [True, True, False]
    assert angles.depends({w[1]}) == [False, True, True]
    assert angles.depends(set()) == [False] * 3


def test_a_gate_without_rule_and_definition_is_named() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, list(ParameterVector("w", 1))), [0])
    with pytest.raises(
        CircuitError, match="'mystery' has a symbolic angle, but no parameter-shift"
    ):
        angle_circuit_of(circuit)
