from collections.abc import Callable
from functools import reduce

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.ansatz import ANSATZE, basic_entangling, hqconv, reupload
from qhybrid_circuits.encoding import ENCODINGS, with_preparation_gates
from qhybrid_circuits.encoding_names import QUBITS
from qhybrid_circuits.errors import UnknownNameError
from qhybrid_circuits.fitting import Choice, completed, fitted_ansatz, reencoded


def _kron(qubits: list[np.ndarray]) -> np.ndarray:
    """Put the states of qubits together, qubit 0 the least significant."""
    return reduce(lambda state, qubit: np.kron(qubit, state), qubits)


# The states of Jo et al. (2026, equations 14 to 18), and RX of De Falco et al. (2024).
STATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "angle": lambda x: _kron([np.array([np.cos(v / 2), -1j * np.sin(v / 2)]) for v in x]),
    "phase": lambda x: _kron([np.array([1, np.exp(1j * v)]) / np.sqrt(2) for v in x]),
    "dense_angle": lambda x: _kron(
        [np.array([np.cos(v / 2), np.exp(1j * w) * np.sin(v / 2)]) for v, w in x.reshape(-1, 2)]
    ),
    "amplitude": lambda x: np.pad(x, (0, -len(x) % 4)) / np.linalg.norm(x),
}


def _outputs(circuit: VariationalCircuit, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    values = dict(zip(circuit.inputs, x, strict=True))
    state = Statevector(circuit.bind_weights(w).assign_parameters(values))
    return np.array([state.expectation_value(each).real for each in circuit.observables])


@pytest.mark.parametrize("encoding", STATES)
@pytest.mark.parametrize("features", [3, 4])
def test_another_encoding_prepares_its_state_before_the_ansatz(
    encoding: str, features: int, rng: np.random.Generator
) -> None:
    circuit = basic_entangling(qubits=4, layers=2)
    changed = reencoded(circuit, encoding, features)
    assert changed.name == f"basic_entangling-{encoding}"
    assert (changed.num_inputs, changed.num_weights) == (features, circuit.num_weights)
    x, w = rng.normal(size=features), rng.normal(size=circuit.num_weights)
    padded = np.append(x, 0) if encoding == "dense_angle" and features % 2 else x
    state = STATES[encoding](padded)
    full = np.zeros(16, complex)
    full[: len(state)] = state  # the qubits without a feature are the most significant ones
    # RX(0) is the identity, so that what is left of the ansatz is the ansatz without its encoding.
    rest = circuit.bind_weights(w).assign_parameters(dict.fromkeys(circuit.inputs, 0.0))
    expected = Statevector(full).evolve(rest)
    wanted = [expected.expectation_value(each).real for each in circuit.observables]
    np.testing.assert_allclose(_outputs(changed, x, w), wanted, atol=1e-10)


def test_values_that_few_qubits_lack_are_completed_in_order(rng: np.random.Generator) -> None:
    circuit = completed(reencoded(hqconv(channels=1, layers=1), "amplitude", 12), 15)
    labels = [each.paulis[0].to_label() for each in circuit.observables]
    assert labels[:8] == ["IIIZ", "IIZI", "IZII", "ZIII", "IIIX", "IIXI", "IXII", "XIII"]
    assert labels[8:] == ["IIIY", "IIYI", "IYII", "YIII", "IIZZ", "IZZI", "ZZII"]
    x, w = rng.normal(size=12), rng.random(8)
    assert len(_outputs(circuit, x, w)) == 15
    with pytest.raises(CircuitError, match=r"4 qubits .* give 21 values, .* takes 22"):
        completed(circuit, 22)


def test_what_is_measured_already_is_not_measured_twice() -> None:
    circuit = VariationalCircuit("mine", QuantumCircuit(2), (), (), (SparsePauliOp("IX"),))
    labels = [each.paulis[0].to_label() for each in completed(circuit, 4).observables]
    assert labels == ["IX", "IZ", "ZI", "XI"]


def _listed(variational: VariationalCircuit) -> list[tuple[str, list[str], list[int]]]:
    circuit = variational.circuit
    return [
        (item.operation.name, [str(p) for p in item.params], [q._index for q in item.qubits])
        for item in circuit.data
    ]


def test_a_choice_that_changes_nothing_leaves_the_ansatz_as_it_is() -> None:
    options = {"features": 12, "outputs": 12, "layers": 3, "variant": "paper"}
    for encoding in (None, "angle"):
        fitted = fitted_ansatz(Choice("hqconv", encoding), **options)
        assert _listed(fitted) == _listed(hqconv())
        assert fitted.observables == hqconv().observables


@pytest.mark.parametrize("name", ANSATZE)
@pytest.mark.parametrize("encoding", [name for name in QUBITS if name != "basis"])
def test_every_ansatz_of_one_encoding_takes_every_other(name: str, encoding: str) -> None:
    options = {"features": 8, "outputs": 8, "layers": 2}
    if name == "reupload":
        with pytest.raises(CircuitError, match=r"takes inputs after other gates"):
            fitted_ansatz(Choice(name, encoding), **options)
        return
    circuit = fitted_ansatz(Choice(name, encoding), **options)
    assert (circuit.num_inputs, circuit.num_outputs) == (8, 8)
    least = QUBITS[encoding](8)
    assert circuit.num_qubits in (least, -(-least // 4) * 4)


def test_counts_of_both_sides_stand_in_a_refusal() -> None:
    with pytest.raises(
        CircuitError, match=r"36 inputs to 24 outputs, .* has 12 features and takes"
    ):
        fitted_ansatz(Choice("reupload"), features=12, outputs=12, layers=3)
    with pytest.raises(CircuitError, match=r"8 features take 8 qubits in angle .* has 4"):
        reencoded(basic_entangling(), "angle", 8)
    with pytest.raises(CircuitError, match=r"after other gates"):
        reencoded(reupload(qubits=3), "angle", 3)
    with pytest.raises(UnknownNameError, match=r"unknown encoding 'densangle'; did you mean dense"):
        fitted_ansatz(Choice("hqconv", "densangle"), features=4, outputs=4)
    with pytest.raises(
        CircuitError, match=r"one topology .* hqconv, fqconv, basic_entangling, reup"
    ):
        fitted_ansatz(Choice("qattention", topology="line"), features=4, outputs=4)


sizes_seen: list[tuple[int, int]] = []


def mine(*, qubits: int, layers: int) -> VariationalCircuit:
    """Build an ansatz of somebody else."""
    sizes_seen.append((qubits, layers))
    x, w = ParameterVector("x", qubits), ParameterVector("w", layers)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(x[qubit], qubit)
    for weight in w:
        circuit.rx(weight, 0)
    measured = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits) for q in range(qubits)]
    return VariationalCircuit("mine", circuit, tuple(x), tuple(w), tuple(measured))


def test_a_function_is_given_the_sizes_that_it_has_parameters_for() -> None:
    sizes_seen.clear()
    reference = f"{__name__}:mine"
    own = fitted_ansatz(Choice(reference), features=6, outputs=6, layers=2)
    dense = fitted_ansatz(Choice(reference, "dense-angle"), features=6, outputs=6, layers=2)
    assert sizes_seen == [(6, 2), (3, 2)]
    assert (own.num_qubits, dense.num_qubits) == (6, 3)
    assert (dense.num_inputs, dense.num_outputs, dense.num_weights) == (6, 6, 2)
    with pytest.raises(CircuitError, match=r"maps 6 inputs to 6 outputs, .* takes 7 values"):
        fitted_ansatz(Choice(reference), features=6, outputs=7, layers=2)


def test_the_names_are_those_of_the_encodings() -> None:
    assert tuple(QUBITS) == tuple(ENCODINGS)


def test_amplitudes_become_gates_where_they_stand_before_the_ansatz() -> None:
    circuit = reencoded(hqconv(channels=1, layers=1), "amplitude", 12)
    prepared = with_preparation_gates(circuit.circuit)
    assert len(prepared.encodings) == 1
