import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_runtime.health.circuit import CircuitHealth, circuit_health, dead_weights
from qhybrid_runtime.health.derivatives import Derivatives


def z_of_each(circuit: QuantumCircuit) -> tuple[SparsePauliOp, ...]:
    width = circuit.num_qubits
    return tuple(SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], width) for q in range(width))


def attention_circuit(qubits: int, layers: int = 3) -> VariationalCircuit:
    """The published circuit of quantum attention: RY encoding, then RZ and a CNOT chain a layer."""
    x, w = ParameterVector("x", qubits), ParameterVector("w", layers * qubits)
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(x[qubit], qubit)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.rz(w[layer * qubits + qubit], qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return VariationalCircuit("attention", circuit, tuple(x), tuple(w), z_of_each(circuit))


@pytest.mark.parametrize("ansatz", ["hqconv", "fqconv"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_papers_ansatze_have_no_dead_weight(ansatz: str, channels: int) -> None:
    health = circuit_health(build_ansatz(ansatz, channels=channels))
    assert health.dead_weights == ()
    assert health.dead_inputs == ()


@pytest.mark.parametrize("ansatz", ["hqconv", "fqconv"])
def test_at_the_papers_size_no_weight_is_redundant(ansatz: str) -> None:
    health = circuit_health(build_ansatz(ansatz))
    assert health.rank == health.num_weights
    assert health.redundant_weights == 0


@pytest.mark.parametrize(("channels", "layers"), [(2, 1), (2, 3), (3, 1), (3, 3)])
def test_most_weights_of_the_released_hqconv_are_dead(channels: int, layers: int) -> None:
    """Block A is left out, so 8 weights a channel and layer stand in no gate: 72 of 84."""
    variational = build_ansatz("hqconv", channels=channels, layers=layers, variant="released")
    nowhere = [
        index
        for index, weight in enumerate(variational.weights)
        if not variational.circuit.has_parameter(weight)
    ]
    assert len(nowhere) == 8 * channels * layers
    health = circuit_health(variational)
    assert list(health.dead_weights) == nowhere
    assert health.to_dict()["dead_weights"] == 8 * channels * layers


def test_more_layers_of_the_released_hqconv_on_two_channels_add_nothing() -> None:
    """Pixel 4 turns about Z and X if pixel 0 is 1, from the plane of Y and Z, and Z is read.

    So the outputs know a rotation matrix by two of its entries, whatever its number of factors.
    """
    for layers in (1, 3):
        variational = build_ansatz("hqconv", channels=2, layers=layers, variant="released")
        assert circuit_health(variational).rank == 2


def test_a_released_weight_that_stands_in_a_gate_acts() -> None:
    """By finite differences in Qiskit, for each weight of block B."""
    variational = build_ansatz("hqconv", channels=2, layers=2, variant="released")
    alive = set(range(variational.num_weights)) - set(circuit_health(variational).dead_weights)
    rng = np.random.default_rng(5)
    values, inputs = rng.random(variational.num_weights), rng.random(variational.num_inputs)

    def outputs(weights: np.ndarray) -> np.ndarray:
        bound = variational.bind_weights(weights).assign_parameters(
            dict(zip(variational.inputs, inputs, strict=True))
        )
        state = Statevector(bound)
        return np.array([state.expectation_value(o).real for o in variational.observables])

    for index in range(variational.num_weights):
        step = np.zeros_like(values)
        step[index] = 1e-4
        change = np.abs(outputs(values + step) - outputs(values - step)).max()
        assert (change > 1e-9) == (index in alive)


@pytest.mark.parametrize("qubits", [4, 16])
def test_every_weight_of_the_published_attention_circuit_is_dead(qubits: int) -> None:
    """RZ is diagonal and CNOT permutes the basis that Z is measured in: 48 of 48 at 16 qubits."""
    variational = attention_circuit(qubits)
    everyone = tuple(range(3 * qubits))
    assert dead_weights(variational) == everyone
    assert dead_weights(variational, dtype=torch.float32) == everyone
    if qubits == 16:
        return
    rng = np.random.default_rng(0)
    inputs = dict(zip(variational.inputs, rng.random(qubits), strict=True))
    first, second = (
        Statevector(variational.bind_weights(rng.random(3 * qubits)).assign_parameters(inputs))
        for _ in range(2)
    )
    np.testing.assert_allclose(first.probabilities(), second.probabilities(), atol=1e-12)


@pytest.mark.thorough
def test_both_variants_of_the_quantum_attention() -> None:
    """All of our 48 weights act, each in its own way; where none does, the rank is 0."""
    ours = circuit_health(build_ansatz("qattention"))
    assert (ours.dead_weights, ours.dead_inputs, ours.rank) == ((), (), 48)
    theirs = circuit_health(build_ansatz("qattention", qubits=8, variant="published"))
    assert (len(theirs.dead_weights), theirs.dead_inputs, theirs.rank) == (24, (), 0)
    assert (theirs.redundant_weights, theirs.gradient_variance) == (24, None)


def test_an_input_without_effect_is_named() -> None:
    """A phase on |0> is no encoding; behind H it is one."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 1)
    circuit = QuantumCircuit(2)
    circuit.p(x[0], 0)
    circuit.h(1)
    circuit.p(x[1], 1)
    circuit.ry(w[0], 1)
    circuit.cx(1, 0)
    health = circuit_health(
        VariationalCircuit("p", circuit, tuple(x), tuple(w), z_of_each(circuit))
    )
    assert (health.dead_inputs, health.dead_weights) == ((0,), ())


def test_two_rotations_about_one_axis_are_one_direction() -> None:
    x, w = ParameterVector("x", 1), ParameterVector("w", 3)
    circuit = QuantumCircuit(1)
    circuit.rx(x[0], 0)
    circuit.ry(w[0], 0)
    circuit.ry(w[1], 0)
    circuit.rx(w[2], 0)
    health = circuit_health(
        VariationalCircuit("r", circuit, tuple(x), tuple(w), z_of_each(circuit))
    )
    assert (health.dead_weights, health.rank, health.redundant_weights) == ((), 2, 1)


@pytest.mark.parametrize(
    ("ansatz", "options"),
    [("basic_entangling", {"qubits": 3, "layers": 3}), ("fqconv", {"channels": 1, "layers": 2})],
)
def test_rank_is_that_of_a_jacobian_by_qiskit(ansatz: str, options: dict[str, int]) -> None:
    variational = build_ansatz(ansatz, **options)
    rng = np.random.default_rng(11)
    weights = rng.uniform(-1, 1, variational.num_weights)
    rows = []
    for _ in range(2 * math.ceil(variational.num_weights / variational.num_outputs)):
        inputs = dict(
            zip(variational.inputs, rng.uniform(-3, 3, variational.num_inputs), strict=True)
        )

        def outputs(values: np.ndarray, inputs: dict[Any, float] = inputs) -> np.ndarray:
            state = Statevector(variational.bind_weights(values).assign_parameters(inputs))
            return np.array([state.expectation_value(o).real for o in variational.observables])

        steps = 1e-4 * np.eye(variational.num_weights)
        rows.append([(outputs(weights + s) - outputs(weights - s)) / 2e-4 for s in steps])
    table = np.concatenate(np.array(rows).transpose(0, 2, 1))
    # Differences are good to about 1e-7.
    expected = np.linalg.matrix_rank(table, tol=1e-5 * np.linalg.norm(table, 2))
    health = circuit_health(variational)
    assert health.dead_weights == ()
    assert health.rank == expected


def test_six_of_the_basic_entangling_weights_are_redundant() -> None:
    """RX commutes with CNOT on its target, so that rotations of several layers are one."""
    health = circuit_health(build_ansatz("basic_entangling"))
    assert (health.rank, health.redundant_weights) == (10, 6)


@given(seed=st.integers(0, 2**20), qubits=st.integers(2, 4), gates=st.integers(3, 12))
def test_dead_weights_are_those_that_no_output_moves_with(
    seed: int, qubits: int, gates: int
) -> None:
    """Random circuits of rotations and CNOTs, measured on one qubit: Qiskit's values decide."""
    rng = np.random.default_rng(seed)
    weights = ParameterVector("w", gates)
    circuit = QuantumCircuit(qubits)
    for weight in weights:
        qubit = int(rng.integers(qubits))
        getattr(circuit, str(rng.choice(["rx", "ry", "rz"])))(weight, qubit)
        if rng.random() < 0.5:
            circuit.cx(qubit, (qubit + 1) % qubits)
    z = (SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], qubits),)
    variational = VariationalCircuit("random", circuit, (), tuple(weights), z)
    found = set(dead_weights(variational))
    moves = set()
    for _ in range(3):
        point = rng.uniform(-math.pi, math.pi, gates)
        for index in range(gates):
            shifted = []
            for sign in (1, -1):
                moved = point.copy()
                moved[index] += sign * math.pi / 2
                state = Statevector(variational.bind_weights(moved))
                shifted.append(state.expectation_value(z[0]).real)
            if abs(shifted[0] - shifted[1]) > 1e-9:
                moves.add(index)
    assert found == set(range(gates)) - moves


def test_derivatives_are_relative_to_the_observable() -> None:
    w = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    scaled = VariationalCircuit("s", circuit, (), tuple(w), (SparsePauliOp("Z", 1e-7),))
    point = np.array([[0.3]])
    np.testing.assert_allclose(Derivatives(scaled).at(point), [[[-math.sin(0.3)]]], atol=1e-12)


def test_variance_of_one_rotation_is_one_half() -> None:
    """d cos(w) / dw = -sin(w), whose variance over a turn is 1/2; 48 points are near it."""
    w = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    health = circuit_health(VariationalCircuit("r", circuit, (), tuple(w), (SparsePauliOp("Z"),)))
    assert health.gradient_variance == pytest.approx(0.5, abs=0.12)


def test_a_layer_without_weights_has_a_health() -> None:
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(2)
    circuit.rx(x[0], 0)
    circuit.rx(x[1], 1)
    health = circuit_health(VariationalCircuit("x", circuit, tuple(x), (), z_of_each(circuit)))
    assert (health.num_weights, health.rank, health.gradient_variance) == (0, 0, None)
    assert health.expressibility is None


def test_health_is_the_same_each_time_and_survives_a_dictionary() -> None:
    variational = build_ansatz("hqconv", channels=1, layers=1)
    health = circuit_health(variational)
    assert circuit_health(variational) == health
    assert CircuitHealth.from_dict(health.to_dict()) == health


def test_the_rank_is_not_bounded_by_how_many_outputs_a_state_has() -> None:
    """255 Pauli strings of a state of four qubits are 30 numbers, and one state tells no more."""
    variational = build_ansatz("brickwork", layers=3)
    health = circuit_health(variational)
    derivatives = Derivatives(variational)
    points = derivatives.random_point(40, np.random.default_rng(1))
    points[:, variational.num_inputs :] = points[0, variational.num_inputs :]
    rows = derivatives.at(points)[:, :, variational.num_inputs :]
    expected = np.linalg.matrix_rank(rows.reshape(-1, variational.num_weights), tol=1e-8)
    assert health.rank == expected == variational.num_weights
