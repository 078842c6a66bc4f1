import math
from functools import reduce

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from qhybrid_circuits import CircuitError, VariationalCircuit
from qhybrid_circuits.ansatz import qattention


def gates(variational: VariationalCircuit) -> list[tuple[str, tuple[int, ...]]]:
    circuit = variational.circuit
    return [
        (item.operation.name, tuple(circuit.find_bit(bit).index for bit in item.qubits))
        for item in circuit.data
    ]


def measured(variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray) -> list:
    values = dict(zip(variational.inputs, inputs, strict=True))
    state = Statevector(variational.bind_weights(weights).assign_parameters(values))
    return [state.expectation_value(observable).real for observable in variational.observables]


def test_sizes_and_order_are_the_papers() -> None:
    for variant in ("trainable", "published"):
        circuit = qattention(variant=variant)
        assert (circuit.num_qubits, circuit.num_inputs, circuit.num_outputs) == (16, 16, 16)
        assert circuit.num_weights == 48
        turns = [i.operation.params[0] for i in circuit.circuit.data if i.operation.params]
        assert turns == [*circuit.inputs, *circuit.weights]


def test_published_layer_is_the_papers() -> None:
    layer = [("rz", (q,)) for q in range(4)] + [("cx", (q, q + 1)) for q in range(3)]
    expected = [("ry", (q,)) for q in range(4)] + layer * 2
    assert gates(qattention(qubits=4, layers=2, variant="published")) == expected


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_published_outputs_are_products_of_cosines_whatever_the_weights(layers: int, rng) -> None:
    circuit = qattention(qubits=9, layers=layers, variant="published")
    inputs = rng.uniform(-3, 3, 9)
    expected = [
        math.prod(
            math.cos(inputs[j]) for j in range(i + 1) if math.comb(i - j + layers - 1, i - j) % 2
        )
        for i in range(9)
    ]
    for _ in range(3):
        weights = rng.uniform(-10, 10, circuit.num_weights)
        np.testing.assert_allclose(measured(circuit, inputs, weights), expected, atol=1e-12)


def test_three_published_layers_leave_every_fourth_pair_of_cosines(rng) -> None:
    inputs = rng.uniform(-3, 3, 16)
    outputs = measured(qattention(variant="published"), inputs, rng.normal(size=48))
    cosines = np.cos(inputs)
    assert outputs[15] == pytest.approx(np.prod(cosines[[15, 14, 11, 10, 7, 6, 3, 2]]))
    assert outputs[4] == pytest.approx(np.prod(cosines[[4, 3, 0]]))


@pytest.mark.parametrize("layers", [1, 3])
def test_trainable_against_matrices(layers: int, rng) -> None:
    circuit = qattention(qubits=4, layers=layers)
    inputs, weights = rng.uniform(-3, 3, 4), rng.uniform(-3, 3, (layers, 4))

    def turn(angles: np.ndarray) -> np.ndarray:
        halves = [(math.cos(angle / 2), math.sin(angle / 2)) for angle in angles]
        return reduce(np.kron, [np.array([[c, -s], [s, c]]) for c, s in reversed(halves)])

    bits = np.array([[basis >> qubit & 1 for qubit in range(4)] for basis in range(16)])
    signs = (-1.0) ** (bits[:, :3] * bits[:, 1:]).sum(axis=1)
    state = turn(inputs)[:, 0]
    for angles in weights:
        state = turn(angles) @ (signs * state)
    expected = (state**2) @ (1 - 2 * bits)
    np.testing.assert_allclose(measured(circuit, inputs, weights.ravel()), expected, atol=1e-12)


def test_a_layer_takes_three_time_steps() -> None:
    assert qattention().circuit.depth() == 1 + 3 * 3
    assert qattention(variant="published").circuit.depth(lambda i: len(i.qubits) == 2) == 15 + 2 * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qubits": 1}, "`qubits` .* at least 2, but is 1"),
        ({"layers": 0}, "`layers` .* at least 1, but is 0"),
        ({"variant": "paper"}, "`variant` .* 'trainable' or 'published', but is 'paper'"),
    ],
)
def test_bad_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        qattention(**options)
