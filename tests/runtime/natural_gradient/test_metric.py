import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_machine_learning.gradients import QFI, LinCombQGT
from random_circuits import random_variational

from qhybrid_circuits import NotFiniteError, ShapeError, VariationalCircuit, build_ansatz
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric, time_slices


def metric(
    variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray, **options: bool
) -> np.ndarray:
    found = fubini_study_metric(
        variational, torch.as_tensor(inputs), torch.as_tensor(weights), **options
    )
    return found.numpy()


def by_differences(
    variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray, step: float = 1e-3
) -> np.ndarray:
    """The metric from fourth-order differences of qiskit's states."""

    def state(sample: np.ndarray, moved: np.ndarray) -> np.ndarray:
        bound = variational.bind_weights(moved)
        values = zip(variational.inputs, map(float, sample), strict=True)
        known = {p: value for p, value in values if bound.has_parameter(p)}
        return Statevector(bound.assign_parameters(known)).data

    total = np.zeros((len(weights), len(weights)))
    for sample in inputs:
        center = state(sample, weights)
        slopes = []
        for direction in step * np.eye(len(weights)):
            near = state(sample, weights + direction) - state(sample, weights - direction)
            far = state(sample, weights + 2 * direction) - state(sample, weights - 2 * direction)
            slopes.append((8 * near - far) / (12 * step))
        rows = np.array(slopes)
        along = rows @ center.conj()
        total += (rows.conj() @ rows.T - np.outer(along.conj(), along)).real
    return total / len(inputs)


def two_layers() -> VariationalCircuit:
    """Rotations on all qubits, CNOTs, rotations on all qubits; the last weight is in no gate."""
    weights, inputs = ParameterVector("w", 7), ParameterVector("x", 3)
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(inputs[qubit], qubit)
        circuit.ry(weights[qubit], qubit)
    circuit.cx([0, 1], [1, 2])
    for qubit in range(3):
        circuit.rx(weights[3 + qubit], qubit)
    return VariationalCircuit(
        "two", circuit, tuple(inputs), tuple(weights), (SparsePauliOp("ZZZ"),)
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hqconv", {"channels": 1, "layers": 1}),
        ("basic_entangling", {"qubits": 3, "layers": 2}),
    ],
)
def test_metric_is_a_quarter_of_qiskits_fisher_information(
    name: str, options: dict[str, int]
) -> None:
    variational = build_ansatz(name, **options)
    rng = np.random.default_rng(3)
    inputs = rng.uniform(-2, 2, (2, variational.num_inputs))
    weights = rng.random(variational.num_weights)
    # qiskit's chain rule of 2 pi w is its own; its parameters come in the circuit's order.
    fisher = QFI(LinCombQGT(StatevectorEstimator(default_precision=0.0)))
    values = [dict(zip(variational.inputs, map(float, sample), strict=True)) for sample in inputs]
    circuits = [variational.circuit.assign_parameters(value) for value in values]
    rows = [weights[[variational.weights.index(p) for p in c.parameters]] for c in circuits]
    parameters = [list(variational.weights)] * len(circuits)
    expected = np.mean(fisher.run(circuits, rows, parameters).result().qfis, axis=0) / 4
    assert metric(variational, inputs, weights) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_metric_of_random_circuits(seed: int) -> None:
    """Weights and inputs in products, powers and sines, in gates of up to three qubits."""
    rng = np.random.default_rng(seed)
    variational = random_variational(rng, num_qubits=4, num_gates=25)
    inputs, weights = rng.normal(size=(3, variational.num_inputs)), rng.normal(size=4)
    expected = by_differences(variational, inputs, weights)
    assert np.abs(expected).max() > 1e-3
    assert metric(variational, inputs, weights) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_parts_of_a_batch_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    variational = build_ansatz("hqconv", channels=1, layers=1)
    rng = np.random.default_rng(5)
    inputs, weights = rng.normal(size=(5, 4)), rng.random(8)
    whole = metric(variational, inputs, weights)
    monkeypatch.setattr("qhybrid_runtime.natural_gradient.metric._NUMBERS_AT_ONCE", 2 * 9 * 16)
    assert metric(variational, inputs, weights) == pytest.approx(whole, abs=1e-12)
    alone = [metric(variational, row[None], weights) for row in inputs]
    assert np.mean(alone, axis=0) == pytest.approx(whole, abs=1e-12)


def test_a_rotation_turns_a_state_by_half_its_angle() -> None:
    """RY from |0>: 1/4; RZ after it by angle a: sin(a)^2 / 4, and no term between the two."""
    weights = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(weights[0], 0)
    circuit.rz(weights[1], 0)
    variational = VariationalCircuit("one", circuit, (), tuple(weights), (SparsePauliOp("Z"),))
    found = metric(variational, np.zeros((1, 0)), np.array([0.7, 0.2]))
    assert found == pytest.approx(np.diag([0.25, np.sin(0.7) ** 2 / 4]), abs=1e-14)


def test_without_trained_gates_the_metric_is_zero() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    weights = tuple(ParameterVector("w", 2))
    variational = VariationalCircuit("idle", circuit, (), weights, (SparsePauliOp("Z"),))
    found = metric(variational, np.zeros((1, 0)), np.ones(2))
    assert np.array_equal(found, np.zeros((2, 2)))


def test_blocks_are_the_time_slices() -> None:
    variational = two_layers()
    assert time_slices(variational) == [0, 0, 0, 1, 1, 1, None]
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(2, 3)), rng.normal(size=7)
    full = metric(variational, inputs, weights)
    blocks = metric(variational, inputs, weights, block_diagonal=True)
    for part in (slice(0, 3), slice(3, 6)):
        assert blocks[part, part] == pytest.approx(full[part, part], abs=1e-14)
    assert np.abs(full[:3, 3:6]).max() > 1e-3
    assert not blocks[:3, 3:].any()
    assert not full[6].any()


def test_single_precision_inputs_give_a_double_precision_metric() -> None:
    variational = two_layers()
    inputs, weights = torch.randn(2, 3), torch.randn(7, requires_grad=True)
    found = fubini_study_metric(variational, inputs, weights)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    expected = fubini_study_metric(variational, inputs.double(), weights.double())
    assert torch.allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(
    ("inputs", "weights", "error"),
    [
        (torch.zeros(2, 4), torch.zeros(7), ShapeError),
        (torch.zeros(0, 3), torch.zeros(7), ShapeError),
        (torch.zeros(1, 2, 3), torch.zeros(7), ShapeError),
        (torch.zeros(2, 3), torch.zeros(6), ShapeError),
        (torch.full((2, 3), torch.nan), torch.zeros(7), NotFiniteError),
        (torch.zeros(2, 3), torch.full((7,), torch.inf), NotFiniteError),
    ],
)
def test_bad_arguments_are_named(
    inputs: torch.Tensor, weights: torch.Tensor, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"`(inputs|weights)`"):
        fubini_study_metric(two_layers(), inputs, weights)
