"""Every encoding in a layer: values and gradients on the engine and on Aer."""

from typing import cast

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import NotFiniteError, RequestError, VariationalCircuit
from qhybrid_circuits.encoding import ENCODINGS, amplitude_encoding, encode
from qhybrid_runtime import (
    Adjoint,
    CircuitBank,
    ParameterShift,
    QuantumLayer,
    Spsa,
    get_backend,
    quantum_layer,
)
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program

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


@pytest.mark.parametrize("backend", ["statevector", "aer"])
@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_values_and_gradients_of_a_layer(name: str, backend: str) -> None:
    variational = _layer_circuit(name)
    rng = np.random.default_rng(0)
    shape = (3, variational.num_inputs)
    x = rng.integers(0, 2, shape).astype(float) if name == "basis" else rng.normal(size=shape)
    w = _single(rng.normal(size=variational.num_weights))
    layer = quantum_layer(variational, get_backend(backend), initial_weights=w).double()
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


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_a_layer_is_trained_through(name: str) -> None:
    torch.manual_seed(0)
    features = _FEATURES[name]
    # Bits are data: only what follows them is trained.
    before = torch.nn.Identity() if name == "basis" else torch.nn.Linear(features, features)
    backend, circuit = get_backend("statevector"), _layer_circuit(name)
    teacher = quantum_layer(circuit, backend, initial_weights=[1.1, -0.7, 0.4, 0.9])
    model = torch.nn.Sequential(before, quantum_layer(circuit, backend))
    inputs = torch.randint(0, 2, (8, features)).float()
    inputs[:, 0] = 1
    goal = teacher(inputs).detach()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(inputs) - goal).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("backend", ["statevector", "aer", "aer:fake_fez"])
def test_a_sample_without_amplitudes_is_named(backend: str) -> None:
    layer = quantum_layer(_layer_circuit("amplitude"), get_backend(backend))
    inputs = torch.ones(3, 4)
    inputs[1] = 0
    with pytest.raises(RequestError, match=r"all features of sample \(1,\) are 0"):
        layer(inputs)
    inputs[1, 2] = torch.nan
    with pytest.raises(NotFiniteError):
        layer(inputs)


def _complex_circuit() -> VariationalCircuit:
    """Complex amplitudes of two of three qubits, angles of each sample, and no weights."""
    re, im, angles = ParameterVector("re", 4), ParameterVector("im", 4), ParameterVector("a", 3)
    circuit = QuantumCircuit(3)
    circuit.compose(amplitude_encoding(re, im), [2, 0], inplace=True)
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
        circuit.cx(qubit, (qubit + 1) % 3)
    observables = tuple(SparsePauliOp(label) for label in ("ZII", "IXY", "XYZ"))
    return VariationalCircuit("complex", circuit, (*re, *im, *angles), (), observables)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_parameter_shift_is_exact_for_amplitudes_too(backend: str) -> None:
    variational = _complex_circuit()
    x = np.random.default_rng(2).normal(size=(3, 11))
    x[1, :3] = 0
    gradients = []
    for method in ("adjoint", "parameter-shift"):
        layer = quantum_layer(variational, get_backend(backend), method).double()
        inputs = torch.tensor(x, requires_grad=True)
        values = layer(inputs)
        np.testing.assert_allclose(
            values.detach(), [_values(variational, row, np.zeros(0)) for row in x], atol=1e-10
        )
        values.square().sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(gradients[1], gradients[0])
    method = ParameterShift()
    # Two values an angle and feature, and one for what the features' length does.
    assert method.parameter_sets(variational) == 2 * 11 + 1
    assert method.parameter_sets(variational, by_inputs=False) == 0


def test_spsa_follows_the_slope_of_amplitudes() -> None:
    variational = _complex_circuit()
    # Features much smaller than the perturbation: it is relative to their length.
    x = 1e-3 * np.random.default_rng(3).normal(size=(2, 11))
    gradients = []
    for method in (Adjoint(), Spsa(samples=3000)):
        layer = quantum_layer(variational, get_backend("statevector"), method).double()
        inputs = torch.tensor(x, requires_grad=True)
        layer(inputs)[:, 1].sum().backward()
        assert inputs.grad is not None
        gradients.append(inputs.grad[:, :8].flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9
    assert gradients[1].norm() == pytest.approx(gradients[0].norm().item(), rel=0.2)


@pytest.mark.parametrize("backend", ["aer:fake_fez", "fake_fez"])
def test_one_lowered_circuit_prepares_all_samples(backend: str) -> None:
    variational = _complex_circuit()
    options = {"shots": 4096} if backend == "fake_fez" else {}
    where = get_backend(backend, **options)
    bank = CircuitBank([variational, variational], where)
    x = np.random.default_rng(4).normal(size=(3, 11))
    inputs = torch.tensor(x, dtype=torch.float32)
    exact = np.array([_values(variational, row, np.zeros(0)) for row in x])
    first, second = bank([inputs, inputs.flip(0)])
    # Noise and shots; the values of other samples are further away.
    np.testing.assert_allclose(first.detach(), exact, atol=0.1)
    np.testing.assert_allclose(second.detach(), exact[::-1], atol=0.1)
    compiled = cast(QuantumLayer, bank.layers[0]).neural_network.compiled
    pub = compiled.pub(torch.tensor(x), torch.zeros(0), where.precision)
    (task,) = where.estimator().lowered_tasks([pub])
    # Three norms, three phases and three angles a sample.
    assert task.inputs.shape == (3, 9)
    assert [tuple(value.shape) for value in bank.state_dict().values()] == [(0,), (0,)]
