"""Amplitude encoding as a start state: values by Qiskit's StatePreparation, gradients exact."""

import io
import itertools

import numpy as np
import pytest
import torch
from engine_checks import check_gradients, engine_values
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_machine_learning.circuit.library import raw_feature_vector
from random_circuits import exact_values

from qhybrid_circuits import CircuitError, NotFiniteError, RequestError, VariationalCircuit
from qhybrid_circuits.encoding import AmplitudeEncoding, amplitude_encoding
from qhybrid_runtime.engine.error_site import ErrorSite
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.natural_gradient.tangents import TangentEvolution

pytestmark = pytest.mark.usefixtures("executor")

OBSERVABLES = tuple(SparsePauliOp(label) for label in ("XYZ", "ZZI", "IXX", "YIZ"))


def encoded(kind: str) -> VariationalCircuit:
    """Three qubits, some of which start in given amplitudes, with gates after them."""
    x, w = ParameterVector("x", 8), ParameterVector("w", 3)
    circuit = QuantumCircuit(3)
    if kind == "real":
        circuit.append(AmplitudeEncoding(x), range(3))
    elif kind == "complex":
        circuit.append(AmplitudeEncoding(x[:4], x[4:]), [0, 1])
    elif kind == "permuted":
        circuit.append(AmplitudeEncoding(x), [2, 0, 1])
    elif kind == "one qubit":
        circuit.append(AmplitudeEncoding(x[:2], x[2:4]), [1])
    elif kind == "two registers":
        circuit.append(AmplitudeEncoding(x[:2]), [1])
        circuit.append(AmplitudeEncoding(x[2:6]), [2, 0])
    elif kind == "expressions":
        features = [x[0] * w[0], 2 * x[1] - 1, w[1], 0.5, x[2] + x[3], x[4].sin(), 0.0, x[5]]
        circuit.append(AmplitudeEncoding(features), [0, 2, 1])
    circuit.rx(x[0], 0)
    circuit.ry(x[6] + w[0], 1)
    circuit.cry(x[7], 0, 2)
    circuit.crx(w[1], 2, 1)
    circuit.rzz(w[2] * x[1], 1, 0)
    circuit.h(2)
    return VariationalCircuit(kind, circuit, tuple(x), tuple(w), OBSERVABLES)


KINDS = ["real", "complex", "permuted", "one qubit", "two registers", "expressions"]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_qiskits_state_preparation(kind: str, rng) -> None:
    variational = encoded(kind)
    inputs, weights = rng.normal(size=(17, 8)), rng.normal(size=3)
    inputs[3, :2] = inputs[4, 2:6] = 1e-3
    inputs[5, 1:6] = 0
    actual = engine_values(variational, inputs + 0.01, weights)
    expected = exact_values(variational, inputs + 0.01, weights)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_features_angles_and_weights(kind: str, rng) -> None:
    check_gradients(encoded(kind), rng)


def test_gradients_where_amplitudes_are_zero(rng) -> None:
    x = ParameterVector("x", 8)
    circuit = QuantumCircuit(3)
    circuit.append(AmplitudeEncoding(x), range(3))
    circuit.cry(0.4, 0, 2)
    program = compile_program(circuit, inputs=x)
    inputs = torch.zeros(1, 8, dtype=torch.float64)
    inputs[0, 5] = -3.0
    inputs.requires_grad_()
    none = torch.zeros(0, dtype=torch.float64)
    values = expectations(program, OBSERVABLES, inputs, none).sum()
    (gradient,) = torch.autograd.grad(values, inputs)
    for feature in range(8):
        step = 1e-5 * torch.eye(8, dtype=torch.float64)[feature]
        up, down = (
            expectations(program, OBSERVABLES, inputs.detach() + sign * step, none).sum()
            for sign in (1, -1)
        )
        assert gradient[0, feature].item() == pytest.approx((up - down).item() / 2e-5, abs=1e-8)
    assert gradient[0, 5] == 0
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float64, 1e-200),
        (torch.float64, 1e200),
        (torch.float32, 1e-30),
        (torch.float32, 1e30),
    ],
)
def test_the_length_of_the_features_is_lost(dtype: torch.dtype, scale: float, rng) -> None:
    x = ParameterVector("x", 8)
    program = compile_program(amplitude_encoding(x), inputs=x)
    inputs, none = torch.tensor(rng.normal(size=(5, 8)), dtype=dtype), torch.zeros(0, dtype=dtype)
    found = []
    for factor in (1, scale):
        leaf = (factor * inputs).requires_grad_()
        values = expectations(program, OBSERVABLES, leaf, none)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        found.append((values, factor * gradient))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_groups_batches_and_precisions(dtype: torch.dtype, rng) -> None:
    variational = encoded("expressions")
    program = compile_program(variational)
    inputs = torch.tensor(rng.normal(size=(2, 3, 5, 8)), dtype=dtype)
    weights = torch.tensor(rng.normal(size=(3, 3)), dtype=dtype)
    values = expectations(program, OBSERVABLES, inputs, weights)
    assert values.shape == (2, 3, 5, 4)
    assert values.dtype == dtype
    for place in itertools.product(range(2), range(3)):
        expected = exact_values(variational, inputs[place].numpy(), weights[place[1]].numpy())
        tolerance = 1e-12 if dtype == torch.float64 else 2e-6
        np.testing.assert_allclose(values[place], expected, atol=tolerance)


def test_it_is_the_raw_feature_vector(rng) -> None:
    values = rng.normal(size=8)
    theirs = raw_feature_vector(8)
    state = Statevector(theirs.assign_parameters(values / np.linalg.norm(values)))
    x = ParameterVector("x", 8)
    ours = expectations(
        compile_program(amplitude_encoding(x), inputs=x),
        OBSERVABLES,
        torch.tensor(values[None]),
        torch.zeros(0, dtype=torch.float64),
    )
    expected = [state.expectation_value(each).real for each in OBSERVABLES]
    np.testing.assert_allclose(ours[0], expected, atol=1e-12)


def test_registers_that_nobody_measures_are_left_out(rng) -> None:
    x = ParameterVector("x", 6)
    circuit = QuantumCircuit(3)
    circuit.append(AmplitudeEncoding(x[:2]), [0])
    circuit.append(AmplitudeEncoding(x[2:]), [2, 1])
    variational = VariationalCircuit("parts", circuit, tuple(x), (), (SparsePauliOp("IIX"),))
    inputs = rng.normal(size=(3, 6))
    expected = 2 * inputs[:, 0] * inputs[:, 1] / np.square(inputs[:, :2]).sum(axis=1)
    values = engine_values(variational, inputs, np.zeros(0))
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-12)
    check_gradients(variational, rng)


def test_errors_strike_behind_it(rng) -> None:
    x = ParameterVector("x", 4)
    circuit = QuantumCircuit(2)
    circuit.append(AmplitudeEncoding(x), [0, 1])
    circuit.append(ErrorSite(), [0])
    circuit.rx(0.3, 0)
    observables = [SparsePauliOp("IZ"), SparsePauliOp("XY")]
    inputs, none = torch.tensor(rng.normal(size=(4, 4))), torch.zeros(0, dtype=torch.float64)
    codes = torch.arange(4, dtype=torch.uint8)[:, None]
    program = compile_program(circuit, inputs=x)
    values = expectations(program, observables, inputs, none, codes)
    for row, pauli in enumerate(("id", "x", "y", "z")):
        clean = QuantumCircuit(2)
        clean.compose(amplitude_encoding(x), inplace=True)
        getattr(clean, pauli)(0)
        clean.rx(0.3, 0)
        state = Statevector(clean.assign_parameters(inputs[row].numpy()))
        expected = [state.expectation_value(each).real for each in observables]
        np.testing.assert_allclose(values[row], expected, atol=1e-12)


def test_states_and_their_derivatives_by_weights(rng) -> None:
    variational = encoded("expressions")
    program = compile_program(variational)
    inputs, weights = torch.tensor(rng.normal(size=(3, 8))), torch.tensor(rng.normal(size=3))
    columns, order = TangentEvolution(program)(inputs, weights)
    executor = TorchExecutor(program, range(3))

    def states(at: torch.Tensor) -> torch.Tensor:
        return executor.states(*program.angles(inputs[None], at[None]))[0].T

    torch.testing.assert_close(columns[..., 0], states(weights))
    assert sorted(order) == [0, 1, 2]
    for place, weight in enumerate(order):
        step = 1e-6 * torch.eye(3, dtype=torch.float64)[weight]
        slope = (states(weights + step) - states(weights - step)) / 2e-6
        torch.testing.assert_close(columns[..., 1 + place], slope, atol=1e-8, rtol=0)
    for row, state in zip(inputs.numpy(), states(weights).numpy(), strict=True):
        parameters = [*variational.inputs, *variational.weights]
        numbers = dict(zip(parameters, [*row, *weights.numpy()], strict=True))
        expected = Statevector(variational.circuit.assign_parameters(numbers))
        assert abs(np.vdot(state, expected.data)) == pytest.approx(1)


def test_a_circuit_from_a_file_is_the_same_program(rng) -> None:
    variational = encoded("complex")
    file = io.BytesIO()
    qpy.dump(variational.circuit, file)
    file.seek(0)
    (circuit,) = qpy.load(file)
    own = {parameter.name: parameter for parameter in circuit.parameters}
    loaded = VariationalCircuit(
        "loaded",
        circuit,
        tuple(own[each.name] for each in variational.inputs),
        tuple(own[each.name] for each in variational.weights),
        OBSERVABLES,
    )
    assert compile_program(loaded).key == compile_program(variational).key
    assert compile_program(loaded).key != compile_program(encoded("real")).key
    inputs, weights = rng.normal(size=(2, 8)), rng.normal(size=3)
    torch.testing.assert_close(
        engine_values(loaded, inputs, weights), engine_values(variational, inputs, weights)
    )


def test_samples_without_a_state_are_named(rng) -> None:
    variational = encoded("two registers")
    inputs, weights = rng.normal(size=(4, 8)), rng.normal(size=3)
    inputs[2, 2:6] = 0
    with pytest.raises(RequestError, match=r"all features of sample \(2,\) are 0"):
        engine_values(variational, inputs, weights)
    inputs[2, 2] = np.nan
    with pytest.raises(NotFiniteError, match="inputs"):
        engine_values(variational, inputs, weights)
    x = ParameterVector("x", 2)
    overflowing = compile_program(amplitude_encoding([x[0].exp(), x[1]]), inputs=x)
    none = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(NotFiniteError, match="feature 0 of sample"):
        expectations(
            overflowing,
            [SparsePauliOp("Z")],
            torch.tensor([[1e3, 1.0]], dtype=torch.float64),
            none,
        )


def test_what_is_not_a_start_state_is_refused() -> None:
    x = ParameterVector("x", 4)
    for gate in ("h", "x"):
        circuit = QuantumCircuit(2)
        getattr(circuit, gate)(1)
        circuit.append(AmplitudeEncoding(x), [0, 1])
        with pytest.raises(CircuitError, match=r"must be the first gate on its qubits.*\[0, 1\]"):
            compile_program(circuit, inputs=x)
    twice = QuantumCircuit(2)
    twice.append(AmplitudeEncoding(x), [0, 1])
    twice.append(AmplitudeEncoding(x[:2]), [1])
    with pytest.raises(CircuitError, match="must be the first gate"):
        compile_program(twice, inputs=x)
    barred = QuantumCircuit(2)
    barred.barrier()
    barred.append(AmplitudeEncoding(x), [0, 1])
    assert len(compile_program(barred, inputs=x).amplitudes.registers) == 1
