from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Operator, Pauli, Statevector
from scipy.linalg import expm

from qhybrid_circuits.ansatz import reupload
from qhybrid_circuits.errors import CircuitError


def _turn(letter: str, angle: float, qubits: tuple[int, ...], total: int) -> Operator:
    """exp(-i angle/2 P), by scipy from whole matrices."""
    label = ["I"] * total
    for qubit in qubits:
        label[total - 1 - qubit] = letter
    return Operator(expm(-0.5j * angle * Pauli("".join(label)).to_matrix()))


@pytest.mark.parametrize(
    ("qubits", "topology", "pairs"),
    [
        (2, "ring", ([(0, 1)], [])),
        (3, "ring", ([(0, 1), (2, 0)], [(1, 2)])),
        (4, "ring", ([(0, 1), (2, 3)], [(1, 2), (3, 0)])),
        (4, "line", ([(0, 1), (2, 3)], [(1, 2)])),
    ],
)
def test_the_outputs_are_those_of_the_matrices(
    qubits: int,
    topology: Any,
    pairs: tuple[list[tuple[int, int]], ...],
    rng: np.random.Generator,
) -> None:
    variational = reupload(qubits=qubits, layers=3, topology=topology)
    inputs, weights = (rng.uniform(-3, 3, n) for n in (3 * qubits, variational.num_weights))
    assert len(weights) == 4 * qubits + sum(map(len, pairs))
    whole, left = Operator(np.eye(2**qubits)), iter(weights)
    for layer, angles in enumerate(inputs.reshape(3, qubits)):
        if layer:
            for q in range(qubits):
                whole = whole & _turn("Z", next(left), (q,), qubits)
            for pair in pairs[layer - 1]:
                whole = whole & _turn("Z", next(left), pair, qubits)
            for q in range(qubits):
                whole = whole & _turn("X", next(left), (q,), qubits)
        for q, angle in enumerate(angles):
            whole = whole & _turn("Y", angle, (q,), qubits)
    state = Statevector.from_label("+" * qubits).evolve(whole)
    bound = variational.bind_weights(weights).assign_parameters(
        dict(zip(variational.inputs, inputs, strict=True))
    )
    np.testing.assert_allclose(np.abs(Statevector(bound).inner(state)), 1, atol=1e-12)
    labels = [
        "".join("Z" if q == i else "I" for q in reversed(range(qubits))) for i in range(qubits)
    ]
    both = sorted(tuple(sorted(pair)) for each in pairs for pair in each)
    neighbours = [
        tuple(q for q, z in enumerate(o.paulis.z[0]) if z) for o in variational.observables[qubits:]
    ]
    assert [o.paulis.to_labels()[0] for o in variational.observables[:qubits]] == labels
    assert sorted(neighbours) == both
    assert all(set(o.paulis.to_labels()[0]) <= {"I", "Z"} for o in variational.observables)


def test_outputs_are_linear_in_small_inputs() -> None:
    variational = reupload(qubits=3, layers=2)
    bound = variational.bind_weights(np.zeros(variational.num_weights)).assign_parameters(
        dict(zip(variational.inputs, [0.1, -0.2, 0.3, 0, 0, 0], strict=True))
    )
    state = Statevector(bound)
    measured = [state.expectation_value(o).real for o in variational.observables[:3]]
    np.testing.assert_allclose(measured, -np.sin([0.1, -0.2, 0.3]), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qubits": 1}, "`qubits` of ansatz 'reupload' must be a whole number of at least 2"),
        ({"layers": 1}, "`layers` of ansatz 'reupload' must be a whole number of at least 2"),
        ({"topology": "star"}, "must be 'ring' or 'line', but is 'star'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        reupload(**options)
