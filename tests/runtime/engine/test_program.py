import numpy as np
import pytest
import torch
from engine_checks import check_gradients, engine_values
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, Gate, InverseModifier, Parameter
from qiskit.circuit.library import PauliEvolutionGate, RXGate
from qiskit.quantum_info import Clifford, SparsePauliOp, Statevector
from random_circuits import exact_values

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.ansatz import fqconv, hqconv
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program


@pytest.mark.parametrize("name", ["p", "rx", "r", "id", "barrier", "global_phase"])
def test_a_gate_of_ones_own_may_have_a_standard_gates_name(name: str, rng) -> None:
    x, w = Parameter("x"), Parameter("w")
    own = QuantumCircuit(1, name=name)
    own.ry(w, 0)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(own.to_gate(), [0])
    circuit.append(own.to_gate().control(1), [0, 1])
    circuit.rx(x, 1)
    variational = VariationalCircuit(name, circuit, (x,), (w,), (SparsePauliOp(["ZX", "IZ"]),))
    inputs, weights = rng.normal(size=(2, 1)), rng.normal(size=1)
    actual = engine_values(variational, inputs, weights).numpy()
    np.testing.assert_allclose(actual, exact_values(variational, inputs, weights), atol=1e-12)
    check_gradients(variational, rng)


def test_operations_that_are_not_gates(rng) -> None:
    angle = Parameter("a")
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    modifiers = [ControlModifier(1, ctrl_state=0), InverseModifier()]
    circuit = QuantumCircuit(3)
    circuit.append(Clifford(bell), [2, 0])
    circuit.append(AnnotatedOperation(RXGate(2 * angle), modifiers), [0, 1])
    observables = (SparsePauliOp("ZYX"), SparsePauliOp("IZZ"))
    variational = VariationalCircuit("operations", circuit, (), (angle,), observables)
    actual = engine_values(variational, np.empty((1, 0)), np.array([0.7])).numpy()
    expected = exact_values(variational, np.empty((1, 0)), np.array([0.7]))
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    check_gradients(variational, rng)


def test_evolutions_are_the_product_formula_that_a_device_would_run(rng) -> None:
    # The gate's own matrix is without Trotter error, also where its definition is not.
    time = Parameter("t")
    operator = SparsePauliOp(["XYI", "IZZ", "YIX"], [0.7, 0.4, 0.2])
    circuits = []
    for duration in (0.9, time):
        circuit = QuantumCircuit(3)
        circuit.h(range(3))
        circuit.append(PauliEvolutionGate(operator, duration), range(3))
        circuits.append(circuit)
    observable = SparsePauliOp("ZXY")
    state = Statevector(circuits[0].decompose("PauliEvolution"))
    expected = state.expectation_value(observable).real
    for circuit, weights in zip(circuits, ([], [0.9]), strict=True):
        value = expectations(
            compile_program(circuit),
            [observable],
            torch.zeros(1, 0, dtype=torch.float64),
            torch.tensor(weights, dtype=torch.float64),
        )
        assert value.item() == pytest.approx(expected, abs=1e-12)


def test_an_angle_without_a_derivative_is_named() -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx((a * b).sign(), 0)
    with pytest.raises(CircuitError, match="uses sign, which the engine cannot differentiate"):
        compile_program(circuit)


def test_a_circuit_without_qubits_is_refused() -> None:
    with pytest.raises(CircuitError, match="at least one qubit"):
        compile_program(QuantumCircuit(0))


def test_an_unknown_gate_is_named() -> None:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    circuit.append(Gate("strange", 1, []), [0])
    with pytest.raises(CircuitError, match="Gate 'strange' on qubits \\[0\\]"):
        compile_program(circuit)


def test_programs_of_one_structure_have_one_key() -> None:
    assert compile_program(hqconv()).key == compile_program(hqconv()).key
    assert compile_program(hqconv()).key != compile_program(fqconv()).key
    assert compile_program(hqconv()).key != compile_program(hqconv(variant="released")).key
