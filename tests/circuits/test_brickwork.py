import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from scipy.linalg import expm

from qhybrid_circuits.ansatz import brickwork, build_ansatz
from qhybrid_circuits.ansatz._brickwork import _add_unit
from qhybrid_circuits.errors import CircuitError


def unit_matrix(a: int, b: int, angles: np.ndarray, qubits: int) -> Operator:
    """exp(i (p1 XX + p2 YY + p0 ZZ)) on qubits a and b, by scipy."""
    terms = [("XX", [a, b], angles[1]), ("YY", [a, b], angles[2]), ("ZZ", [a, b], angles[0])]
    generator = SparsePauliOp.from_sparse_list(terms, qubits).to_matrix()
    return Operator(expm(1j * generator))


@pytest.mark.parametrize("pair", [(0, 1), (1, 0)])
def test_a_unit_is_the_exponential_of_three_couplings(pair: tuple[int, int], rng) -> None:
    angles = rng.uniform(-math.pi, math.pi, 3)
    circuit = QuantumCircuit(2)
    _add_unit(circuit, *pair, *angles)
    assert Operator(circuit).equiv(unit_matrix(*pair, angles, 2), atol=1e-12)


def layer_matrix(pairs: list[tuple[int, int]], angles: np.ndarray, qubits: int) -> Operator:
    """A layer from whole matrices, none of them the ansatz's gates."""
    whole = Operator(np.eye(2**qubits))
    for number, pair in enumerate(pairs):
        whole = whole & unit_matrix(*pair, angles[3 * number : 3 * number + 3], qubits)
    rest = QuantumCircuit(qubits)
    rest.h(range(qubits))
    for qubit in range(qubits - 1):
        rest.cz(qubit, qubit + 1)
    for qubit in range(qubits):
        rest.rx(angles[3 * len(pairs) + qubit], qubit)
    return whole & Operator(rest)


@pytest.mark.parametrize(
    ("qubits", "pairs"),
    [
        (2, [(0, 1), (1, 0)]),
        (3, [(0, 1), (1, 2)]),
        (4, [(0, 1), (2, 3), (1, 2), (3, 0)]),
    ],
)
def test_the_state_is_that_of_the_matrices(qubits: int, pairs: list[tuple[int, int]], rng) -> None:
    variational = brickwork(qubits=qubits, layers=2)
    a_layer = 3 * len(pairs) + qubits
    assert variational.num_weights == 2 * a_layer
    features, weights = rng.normal(size=2**qubits), rng.uniform(-3, 3, 2 * a_layer)
    bound = variational.bind_weights(weights).assign_parameters(
        dict(zip(variational.inputs, features, strict=True))
    )
    expected = Statevector(features / np.linalg.norm(features))
    for angles in weights.reshape(2, a_layer):
        expected = expected.evolve(layer_matrix(pairs, angles, qubits))
    assert Statevector(bound).equiv(expected, atol=1e-10)


def test_published_size() -> None:
    variational = brickwork()
    assert (variational.num_qubits, variational.num_inputs) == (4, 16)
    assert (variational.num_weights, variational.num_outputs) == (160, 255)
    as_inputs = brickwork(angles="inputs")
    assert (as_inputs.num_inputs, as_inputs.num_weights) == (176, 0)
    assert build_ansatz("brickwork", qubits=2, layers=1).num_weights == 8


def test_angles_are_the_same_as_weights_and_as_inputs(rng) -> None:
    own, given = brickwork(qubits=2, layers=2), brickwork(qubits=2, layers=2, angles="inputs")
    values = rng.normal(size=4 + own.num_weights)
    parameters = [*own.inputs, *own.weights]
    states = [
        Statevector(circuit.assign_parameters(dict(zip(names, values, strict=True))))
        for circuit, names in ((own.circuit, parameters), (given.circuit, given.inputs))
    ]
    np.testing.assert_allclose(states[0].data, states[1].data, atol=1e-12)


def test_outputs_are_all_pauli_strings_or_those_chosen() -> None:
    labels = [o.paulis.to_labels()[0] for o in brickwork(qubits=3, layers=1).observables]
    assert len(set(labels)) == 4**3 - 1
    assert "III" not in labels
    for chosen in ("ZZI, XIX", ["ZZI", "XIX"]):
        measured = brickwork(qubits=3, layers=1, observables=chosen).observables
        assert list(measured) == [SparsePauliOp("ZZI"), SparsePauliOp("XIX")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qubits": 1}, "`qubits` .* at least 2, but is 1"),
        ({"layers": 0}, "`layers` .* at least 1, but is 0"),
        ({"angles": "data"}, "`angles` .* 'weights' or 'inputs', but is 'data'"),
        ({"qubits": 6}, "at most 5 where all Pauli strings are measured, but is 6"),
        ({"observables": "ZZII,IIII"}, "not all I, but has 'IIII'"),
        ({"observables": ["ZZ"]}, "strings of 4 letters I, X, Y and Z, .* 'ZZ'"),
        ({"observables": ""}, "but has ''"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        brickwork(**options)


def test_many_qubits_with_few_observables() -> None:
    assert brickwork(qubits=6, layers=1, observables=["Z" * 6]).num_weights == 24
