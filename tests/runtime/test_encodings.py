"""Every encoding in a layer: values and gradients on the engine and on Aer."""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.encoding import encode
from qhybrid_runtime import get_backend, quantum_layer
from qhybrid_runtime.statevector import compile_program, expectations

_FEATURES = {"basis": 2, "angle": 2, "phase": 2, "dense_angle": 4, "amplitude": 4}
_QUBITS = 2


def _layer_circuit(name: str) -> VariationalCircuit:
    inputs = tuple(ParameterVector("x", _FEATURES[name]))
    weights = tuple(ParameterVector("w", 2 * _QUBITS))
    circuit = QuantumCircuit(_QUBITS)
    circuit.compose(encode(name, inputs, num_qubits=_QUBITS), inplace=True)
    for qubit in range(_QUBITS):
        circuit.rx(weights[2 * qubit], qubit)
        circuit.ry(weights[2 * qubit + 1], qubit)
    circuit.cx(0, 1)
    observables = tuple(SparsePauliOp(label) for label in ("IZ", "ZI", "XX"))
    return VariationalCircuit(name, circuit, inputs, weights, observables)


def _values(layer: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray) -> list[float]:
    parameters = [*layer.inputs, *layer.weights]
    numbers = dict(zip(parameters, [*inputs, *weights], strict=True))
    state = Statevector(layer.circuit.assign_parameters(numbers))
    return [state.expectation_value(o).real for o in layer.observables]


def _single(weights: np.ndarray) -> np.ndarray:
    """Round to what a layer keeps of its initial weights."""
    return weights.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("name", ["basis", "angle", "phase", "dense_angle"])
def test_values_and_gradients_of_a_layer(name: str) -> None:
    variational = _layer_circuit(name)
    rng = np.random.default_rng(0)
    shape = (3, variational.num_inputs)
    x = rng.integers(0, 2, shape).astype(float) if name == "basis" else rng.normal(size=shape)
    w = _single(rng.normal(size=variational.num_weights))
    layer = quantum_layer(variational, get_backend("statevector"), initial_weights=w).double()
    inputs = torch.tensor(x, requires_grad=True)
    out = layer(inputs)
    expected = [_values(variational, row, w) for row in x]
    np.testing.assert_allclose(out.detach(), expected, atol=1e-10)
    out.sum().backward()
    step = 1e-5
    for sample in range(3):
        for feature in range(variational.num_inputs):
            shift = step * np.eye(variational.num_inputs)[feature]
            slope = (
                sum(_values(variational, x[sample] + shift, w))
                - sum(_values(variational, x[sample] - shift, w))
            ) / (2 * step)
            assert inputs.grad is not None
            assert inputs.grad[sample, feature].item() == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_bound_amplitudes_run_and_weights_are_trained_through(backend: str) -> None:
    variational = _layer_circuit("amplitude")
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=4), _single(rng.normal(size=4))
    bound = variational.circuit.assign_parameters(dict(zip(variational.inputs, x, strict=True)))
    layer_circuit = VariationalCircuit(
        "bound", bound, (), variational.weights, variational.observables
    )
    layer = quantum_layer(layer_circuit, get_backend(backend), initial_weights=w).double()
    out = layer(torch.zeros(1, 0, dtype=torch.float64))
    np.testing.assert_allclose(out[0].detach(), _values(variational, x, w), atol=1e-10)
    out.sum().backward()
    gradient = next(layer.parameters()).grad
    assert gradient is not None
    for index, slope in enumerate(gradient):
        shift = 1e-5 * np.eye(4)[index]
        difference = sum(_values(variational, x, w + shift)) - sum(
            _values(variational, x, w - shift)
        )
        assert slope.item() == pytest.approx(difference / 2e-5, abs=1e-7)


def test_the_engine_compiles_bound_amplitudes() -> None:
    variational = _layer_circuit("amplitude")
    x, w = np.array([0.0, -2.0, 0.0, 1.0]), np.array([0.3, -0.2, 1.0, 0.5])
    bound = variational.circuit.assign_parameters(dict(zip(variational.inputs, x, strict=True)))
    program = compile_program(bound, weights=variational.weights)
    values = expectations(
        program,
        variational.observables,
        torch.zeros(1, 0, dtype=torch.float64),
        torch.from_numpy(w),
    )
    np.testing.assert_allclose(values[0], _values(variational, x, w), atol=1e-12)


def test_unbound_amplitudes_are_named_by_the_engine() -> None:
    with pytest.raises(CircuitError, match="4 of its 4 features have no value yet; assign them"):
        compile_program(_layer_circuit("amplitude"))
