"""Gates for amplitudes that come later, against Qiskit's states of amplitudes that are known."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import StatePreparation
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import VariationalCircuit, resource_report
from qhybrid_circuits.encoding import AmplitudeEncoding, amplitude_encoding
from qhybrid_circuits.encoding.state_tree import (
    num_angles,
    preparation_angles,
    with_preparation_gates,
)
from qhybrid_circuits.errors import CircuitError, NotFiniteError, RequestError
from qhybrid_circuits.lowering.lower import lower

TARGET = GenericBackendV2(5, basis_gates=["cz", "rz", "sx", "x"], seed=0).target


def features_of(num_qubits: int, *, complex_parts: bool) -> np.ndarray:
    """Return random features, and some that leave amplitudes, halves or phases out."""
    count = 1 << num_qubits
    rows = np.random.default_rng(num_qubits).normal(size=(7, count * (2 if complex_parts else 1)))
    rows[1, : count // 2] = 0
    rows[2, 1:] = 0
    rows[3, count // 2 : count] = 0
    rows[4] = -1
    rows[5] *= 1e-200
    return rows


@pytest.mark.parametrize("complex_parts", [False, True])
@pytest.mark.parametrize("num_qubits", [1, 2, 3, 4, 5])
def test_gates_prepare_any_amplitudes(num_qubits: int, complex_parts: bool) -> None:
    count = 1 << num_qubits
    x, y = ParameterVector("x", count), ParameterVector("y", count)
    circuit = amplitude_encoding(x, y if complex_parts else None)
    prepared = with_preparation_gates(circuit)
    features = features_of(num_qubits, complex_parts=complex_parts)
    angles = preparation_angles(features, num_qubits)
    assert angles.shape == (7, num_angles(prepared.encodings[0])) == (7, len(prepared.angles[0]))
    for row, values in zip(features, angles, strict=True):
        state = row[:count] + (1j * row[count:] if complex_parts else 0)
        expected = Statevector(StatePreparation(state / np.abs(state).max(), normalize=True))
        bound = prepared.circuit.assign_parameters(
            dict(zip(prepared.angles[0], values, strict=True))
        )
        assert Statevector(bound).equiv(expected)


@pytest.mark.parametrize("complex_parts", [False, True])
def test_cx_gates_are_as_few_as_the_tree_needs(complex_parts: bool) -> None:
    x, y = ParameterVector("x", 16), ParameterVector("y", 16)
    circuit = with_preparation_gates(amplitude_encoding(x, y if complex_parts else None)).circuit
    # Of a level with k controls: 2**k, or with phases twice as many but one pair.
    expected = sum(2 * 2**k - 2 if complex_parts else 2**k for k in (1, 2, 3))
    assert circuit.count_ops()["cx"] == expected


def test_only_encodings_without_values_become_gates() -> None:
    x, theta = ParameterVector("x", 4), Parameter("amplitudes[0]")
    circuit = QuantumCircuit(5)
    circuit.append(AmplitudeEncoding([1.0, 2.0]), [4])
    circuit.barrier()
    circuit.append(AmplitudeEncoding([1.0, x[0]]), [2])
    circuit.append(AmplitudeEncoding(x), [3, 0])
    circuit.rx(theta, 1)
    circuit.ry(x[1], 3)
    prepared = with_preparation_gates(circuit)
    assert [len(group) for group in prepared.angles] == [1, 3]
    assert {each.name for each in prepared.circuit.parameters} == {
        "amplitudes[0]",
        "x[1]",
        *(f"amplitudes_[{index}]" for index in range(4)),
    }
    values = np.array([0.3, -0.4, 0.5, 0.6])
    known = dict(zip([*x, theta], [*values, 0.7], strict=True))
    angles = [
        *preparation_angles(np.array([[1.0, 0.3]]), 1)[0],
        *preparation_angles(values[None], 2)[0],
    ]
    found = dict(zip([angle for group in prepared.angles for angle in group], angles, strict=True))
    found |= {theta: 0.7, x[1]: values[1]}
    assert Statevector(prepared.circuit.assign_parameters(found)).equiv(
        Statevector(circuit.assign_parameters(known))
    )
    bound = circuit.assign_parameters(known)
    assert with_preparation_gates(bound).circuit is bound


def test_what_has_no_state_is_named() -> None:
    x = ParameterVector("x", 4)
    circuit = QuantumCircuit(3)
    circuit.h(2)
    circuit.append(AmplitudeEncoding(x), [1, 2])
    with pytest.raises(CircuitError, match=r"must be the first gate on its qubits.*\[1, 2\]"):
        with_preparation_gates(circuit)
    with pytest.raises(RequestError, match=r"all features of sample \(1,\) are 0"):
        preparation_angles(np.array([[1.0, 0.0], [0.0, 0.0]]), 1)
    with pytest.raises(NotFiniteError, match="feature 1 of sample"):
        preparation_angles(np.array([[1.0, np.inf]]), 1)


def encoded() -> VariationalCircuit:
    x, w = ParameterVector("x", 8), ParameterVector("w", 3)
    circuit = amplitude_encoding(x)
    for qubit in range(3):
        circuit.ry(w[qubit], qubit)
        circuit.cx(qubit, (qubit + 1) % 3)
    observables = tuple(SparsePauliOp(label) for label in ("ZII", "XYZ"))
    return VariationalCircuit("encoded", circuit, tuple(x), tuple(w), observables)


def test_lowered_once_it_prepares_every_sample(tmp_path) -> None:
    variational, weights = encoded(), [0.3, -0.8, 1.4]
    for _ in range(2):  # The second time it comes from the files.
        lowered = lower(variational, TARGET, weights=weights, cache=tmp_path)
    names = with_preparation_gates(variational.circuit).angles[0]
    assert {p.name for p in lowered.circuit.parameters} == {p.name for p in names}
    assert set(lowered.circuit.count_ops()) <= {"cz", "rz", "sx", "x"}
    features = features_of(3, complex_parts=False)
    for row, angles in zip(features, preparation_angles(features, 3), strict=True):
        values = {angle.name: value for angle, value in zip(names, angles, strict=True)}
        bound = lowered.circuit.assign_parameters(values)
        parameters = [*variational.inputs, *variational.weights]
        numbers = dict(zip(parameters, [*row, *weights], strict=True))
        state = Statevector(variational.circuit.assign_parameters(numbers))
        for observable in variational.observables:
            value = Statevector(bound).expectation_value(lowered.apply_layout(observable))
            assert value.real == pytest.approx(state.expectation_value(observable).real, abs=1e-9)


def test_numbers_are_lowered_by_qiskits_state_preparation() -> None:
    variational = encoded()
    values = np.random.default_rng(5).normal(size=11)
    parameters = [*variational.inputs, *variational.weights]
    bound = variational.circuit.assign_parameters(dict(zip(parameters, values, strict=True)))
    lowered = lower(bound, TARGET, cache=False)
    for observable in variational.observables:
        value = Statevector(lowered.circuit).expectation_value(lowered.apply_layout(observable))
        expected = Statevector(bound).expectation_value(observable)
        assert value.real == pytest.approx(expected.real, abs=1e-9)


def test_reports_count_the_gates_that_any_amplitudes_take() -> None:
    variational, weights = encoded(), [0.3, -0.8, 1.4]
    written = resource_report(variational, None)
    # Six for the amplitudes and three of the circuit's own.
    assert (written.two_qubit_gates, written.gate_counts["ry"]) == (9, 7 + 3)
    report = resource_report(variational, TARGET, weights=weights, cache=False)
    lowered = lower(variational, TARGET, weights=weights, cache=False)
    assert report.two_qubit_gates == lowered.circuit.count_ops()["cz"] >= 9
    assert report.stock is not None
    assert report.stock.two_qubit_gates >= 9


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: c.to_gate(), lambda c: wrapped_twice(c)])
def test_encodings_in_other_instructions_are_found(wrap) -> None:
    features = ParameterVector("x", 4)
    circuit = QuantumCircuit(3)
    circuit.id(1)
    circuit.append(wrap(amplitude_encoding(features)), [1, 2])
    circuit.cx(1, 0)
    prepared = with_preparation_gates(circuit)
    assert len(prepared.encodings) == 1
    values = np.array([[0.3, -1.2, 0.5, 0.8]])
    angles = dict(zip(prepared.angles[0], preparation_angles(values, 2)[0], strict=True))
    expected = Statevector(circuit.assign_parameters(dict(zip(features, values[0], strict=True))))
    found = Statevector(prepared.circuit.assign_parameters(angles))
    assert abs(expected.inner(found)) == pytest.approx(1.0)


def wrapped_twice(circuit: QuantumCircuit) -> QuantumCircuit:
    outer = QuantumCircuit(circuit.num_qubits)
    outer.append(circuit.to_gate(), outer.qubits)
    return outer
