import copy
import io
import pickle

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy, transpile
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import HGate, StatePreparation
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector
from qiskit_machine_learning.circuit.library import raw_feature_vector

from qhybrid_circuits.encoding import AmplitudeEncoding, amplitude_encoding
from qhybrid_circuits.encoding.amplitude import encoding_in
from qhybrid_circuits.errors import CircuitError, NotFiniteError, RequestError, ShapeError


def _symbolic(size: int) -> QuantumCircuit:
    return amplitude_encoding(ParameterVector("x", size))


@pytest.mark.parametrize("num_qubits", [1, 2, 4, 6])
def test_agrees_with_raw_feature_vector(num_qubits: int) -> None:
    values = np.random.default_rng(num_qubits).normal(size=2**num_qubits)
    theirs = raw_feature_vector(2**num_qubits).assign_parameters(values / np.linalg.norm(values))
    ours = _symbolic(2**num_qubits).assign_parameters(values)
    np.testing.assert_allclose(Statevector(ours), Statevector(theirs), atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5, 8, 13])
def test_amplitudes_are_normalized_and_filled_with_zeros(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size) * 1e3
    state = Statevector(_symbolic(size).assign_parameters(values)).data
    np.testing.assert_allclose(state[:size], values / np.linalg.norm(values), atol=1e-12)
    np.testing.assert_allclose(state[size:], 0, atol=1e-12)


def test_complex_amplitudes() -> None:
    rng = np.random.default_rng(0)
    real, imaginary = rng.normal(size=(2, 5))
    re, im = ParameterVector("re", 5), ParameterVector("im", 5)
    circuit = amplitude_encoding(re, im).assign_parameters(
        {**dict(zip(re, real, strict=True)), **dict(zip(im, imaginary, strict=True))}
    )
    expected = np.zeros(8, complex)
    expected[:5] = real + 1j * imaginary
    np.testing.assert_allclose(
        Statevector(circuit), expected / np.linalg.norm(expected), atol=1e-12
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e200])
def test_any_scale_is_normalized(scale: float) -> None:
    state = Statevector(amplitude_encoding([3 * scale, 0.0, -4 * scale])).data
    np.testing.assert_allclose(state, [0.6, 0, -0.8, 0], atol=1e-12)


def test_unbound_it_is_one_instruction_and_bound_it_is_state_preparation() -> None:
    circuit = _symbolic(4)
    assert circuit.count_ops() == {"amplitude_encoding": 1}
    assert isinstance(circuit.data[0].operation, AmplitudeEncoding)
    half = circuit.assign_parameters(dict(zip(list(circuit.parameters)[:2], [1, 2], strict=True)))
    for unbound, count in ((circuit, 4), (half, 2)):
        gate = unbound.data[0].operation
        assert gate.definition is None
        assert gate.is_symbolic
        with pytest.raises(CircuitError, match=f"{count} of its 4 features have no value yet"):
            gate.amplitudes()
    bound = circuit.assign_parameters([1, 2, 3, 4]).decompose()
    assert isinstance(bound.data[0].operation, StatePreparation)


def test_assigning_leaves_the_circuit_as_it_was() -> None:
    circuit = _symbolic(4)
    first = circuit.assign_parameters([1, 0, 0, 0])
    second = circuit.assign_parameters([0, 0, 0, 1])
    np.testing.assert_allclose(Statevector(first), [1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(Statevector(second), [0, 0, 0, 1], atol=1e-12)
    assert circuit.num_parameters == 4
    for again in (copy.deepcopy(circuit), pickle.loads(pickle.dumps(circuit))):
        state = Statevector(again.assign_parameters([0, 1, 0, 0]))
        np.testing.assert_allclose(state, [0, 1, 0, 0], atol=1e-12)


def test_it_comes_back_from_a_file() -> None:
    re, im = ParameterVector("re", 4), ParameterVector("im", 4)
    circuit = amplitude_encoding(re, im)
    circuit.append(Gate("amplitude_encoding", 2, [0.1]), [0, 1])
    file = io.BytesIO()
    qpy.dump([circuit, circuit.assign_parameters(np.arange(8))], file)
    file.seek(0)
    unbound, bound = qpy.load(file)
    found = encoding_in(unbound.data[0].operation)
    assert isinstance(found, AmplitudeEncoding)
    assert found.is_complex
    assert [feature.name for feature in found.params] == [each.name for each in (*re, *im)]
    # A gate of this name with other parameters is somebody else's.
    assert encoding_in(unbound.data[1].operation) is None
    assert encoding_in(HGate()) is None
    assert isinstance(bound.data[0].operation.definition.data[0].operation, StatePreparation)


def test_expressions_of_parameters_are_features() -> None:
    x = Parameter("x")
    circuit = amplitude_encoding([x.cos(), x.sin(), 2 * x, 1.0])
    values = np.array([np.cos(0.3), np.sin(0.3), 0.6, 1.0])
    state = Statevector(circuit.assign_parameters([0.3])).data
    np.testing.assert_allclose(state, values / np.linalg.norm(values), atol=1e-12)


def test_bound_it_is_transpiled_to_a_device() -> None:
    values = np.random.default_rng(3).normal(size=8)
    target = GenericBackendV2(5, seed=0).target
    circuit = transpile(_symbolic(8).assign_parameters(values), target=target, seed_transpiler=0)
    assert set(circuit.count_ops()) <= set(target.operation_names)
    places = circuit.layout.final_index_layout(filter_ancillas=True)
    reduced = Statevector(circuit).probabilities(places)
    np.testing.assert_allclose(reduced, values**2 / np.sum(values**2), atol=1e-10)


def test_the_inverse_undoes_it() -> None:
    circuit = amplitude_encoding([0.2, -1.0, 0.7])
    assert abs(Statevector(circuit.compose(circuit.inverse())).data[0]) == pytest.approx(1)


def test_what_cannot_be_encoded_is_named() -> None:
    with pytest.raises(RequestError, match="zero vector"):
        amplitude_encoding([0.0, 0.0])
    with pytest.raises(RequestError, match="zero vector"):
        _symbolic(4).assign_parameters([0, 0, 0, 0]).decompose()
    with pytest.raises(NotFiniteError, match="feature 1 is nan"):
        amplitude_encoding([1.0, np.nan])
    with pytest.raises(NotFiniteError, match="feature 0 is inf"):
        amplitude_encoding([1.0, 2.0], [np.inf, 0.0])
    with pytest.raises(ShapeError, match=r"imaginary.* 2, but holds 1"):
        amplitude_encoding([1.0, 2.0], [1.0])
    with pytest.raises(ShapeError, match=r"2, 4, 8, \.\.\. amplitudes, but was given 3"):
        AmplitudeEncoding([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="given 1 and 2"):
        AmplitudeEncoding([1.0, 2.0], [1.0])
