"""States against the papers' formulas, and agreement with other libraries' circuits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import z_feature_map
from qiskit.quantum_info import Statevector, state_fidelity

from qhybrid_circuits.encoding import (
    ENCODINGS,
    angle_encoding,
    basis_encoding,
    check_values,
    dense_angle_encoding,
    encode,
    phase_encoding,
)
from qhybrid_circuits.errors import (
    CircuitError,
    NotFiniteError,
    RequestError,
    ShapeError,
    UnknownNameError,
)

_KET0, _KET1 = np.array([1, 0]), np.array([0, 1])


def _bound(circuit: QuantumCircuit, values: object) -> Statevector:
    return Statevector(circuit.assign_parameters(values))


def _product(states: list[NDArray[np.complex128]]) -> NDArray[np.complex128]:
    """Qubit 0 is the least significant, and so the last factor."""
    total = np.ones(1, complex)
    for state in states:
        total = np.kron(state, total)
    return total


def test_basis_states() -> None:
    circuit = basis_encoding(ParameterVector("x", 3))
    for bits in itertools.product((0, 1), repeat=3):
        label = "".join(str(bit) for bit in reversed(bits))
        np.testing.assert_allclose(_bound(circuit, bits), Statevector.from_label(label), atol=1e-15)


def test_angle_phase_and_dense_angle_follow_the_formulas() -> None:
    x = np.random.default_rng(0).uniform(-np.pi, np.pi, 4)
    parameters = ParameterVector("x", 4)
    angle = _product([np.cos(v / 2) * _KET0 + np.sin(v / 2) * _KET1 for v in x])
    phase = _product([(_KET0 + np.exp(1j * v) * _KET1) / np.sqrt(2) for v in x])
    dense = _product(
        [np.cos(a / 2) * _KET0 + np.exp(1j * b) * np.sin(a / 2) * _KET1 for a, b in x.reshape(2, 2)]
    )
    for circuit, state in (
        (angle_encoding(parameters, axis="y"), angle),
        (phase_encoding(parameters), phase),
        (dense_angle_encoding(parameters), dense),
    ):
        assert state_fidelity(_bound(circuit, x), Statevector(state)) == pytest.approx(1, abs=1e-14)


def test_phase_encoding_is_qiskits_z_feature_map() -> None:
    x = np.random.default_rng(1).uniform(-np.pi, np.pi, 3)
    # Qiskit's map turns by P(2x).
    theirs = z_feature_map(3, reps=1).assign_parameters(x / 2)
    ours = _bound(phase_encoding(ParameterVector("x", 3)), x)
    assert state_fidelity(ours, Statevector(theirs)) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("num_features", [2, 4, 6])
def test_numbers_and_parameters_give_the_same_state(name: str, num_features: int) -> None:
    rng = np.random.default_rng(num_features)
    bits = rng.integers(0, 2, num_features)
    values = bits if name == "basis" else rng.normal(size=num_features)
    parameters = ParameterVector("x", num_features)
    symbolic = encode(name, parameters)
    assert symbolic.num_qubits == ENCODINGS[name].qubits(num_features)
    assert set(symbolic.parameters) == set(parameters)
    assert not symbolic.num_clbits
    direct = Statevector(encode(name, values.tolist()))
    assert state_fidelity(_bound(symbolic, values), direct) == pytest.approx(1, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70))
def test_qubits_and_parameters_of_any_number_of_features(num_features: int) -> None:
    for name, info in ENCODINGS.items():
        if name == "dense_angle" and num_features % 2:
            continue
        circuit = encode(name, ParameterVector("x", num_features))
        assert circuit.num_qubits == info.qubits(num_features)
        assert circuit.num_parameters == num_features
    qubits = ENCODINGS["amplitude"].qubits(num_features)
    assert 2**qubits >= num_features
    assert qubits == 1 or 2 ** (qubits - 1) < num_features


@pytest.mark.parametrize("name", ENCODINGS)
def test_wrong_numbers_of_features_are_named(name: str) -> None:
    with pytest.raises(CircuitError, match="at least one feature"):
        encode(name, [])
    with pytest.raises(ShapeError, match=rf"4 features take . qubits in {name}"):
        encode(name, ParameterVector("x", 4), num_qubits=5)
    with pytest.raises(ShapeError, match=r"\(..., 4\).*\(2, 3\)"):
        check_values(name, np.ones((2, 3)), 4)
    with pytest.raises(ShapeError):
        check_values(name, 1.0, 1)
    encode(name, ParameterVector("x", 4), num_qubits=ENCODINGS[name].qubits(4))


def test_odd_features_do_not_fit_dense_angle_encoding() -> None:
    with pytest.raises(ShapeError, match=r"two features a qubit.* 3; append"):
        encode("dense_angle", ParameterVector("x", 3))


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(name: str, wrong: float) -> None:
    values = [1.0, 0.0, wrong, 1.0]
    with pytest.raises(NotFiniteError, match="feature 2 is"):
        encode(name, values)
    with pytest.raises(NotFiniteError, match=r"feature 2 of sample \(1,\)"):
        check_values(name, [[1.0, 0.0, 1.0, 1.0], values], 4)


def test_what_is_not_a_bit_is_named() -> None:
    with pytest.raises(RequestError, match=r"holds 0\.5 at index \(1,\)"):
        basis_encoding([1.0, 0.5])
    with pytest.raises(RequestError, match=r"holds -1 at index \(0, 1\)"):
        check_values("basis", [[0, -1], [1, 0]], 2)
    check_values("basis", np.array([[True, False]]), 2)


def test_good_values_pass() -> None:
    for name in ENCODINGS:
        check_values(name, np.ones((3, 2, 4)), 4)
        check_values(name, np.zeros((0, 4)), 4)


def test_unknown_names_and_options() -> None:
    for call in (lambda: encode("angel", [1.0]), lambda: check_values("angel", [1.0], 1)):
        with pytest.raises(UnknownNameError, match="did you mean angle"):
            call()
    with pytest.raises(CircuitError, match="phase encoding does not take axis"):
        encode("phase", [1.0], axis="x")
    with pytest.raises(CircuitError, match="'x' or 'y'"):
        encode("angle", [1.0], axis="z")
    with pytest.raises(CircuitError, match="real numbers"):
        encode("phase", [1j])
