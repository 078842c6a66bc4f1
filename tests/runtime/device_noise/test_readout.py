import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, random_statevector

from qhybrid_runtime.device_noise.readout import with_readout_error


def confusion(rng: np.random.Generator) -> np.ndarray:
    wrong = rng.uniform(0, 0.3, 2)
    return np.array([[1 - wrong[0], wrong[0]], [wrong[1], 1 - wrong[1]]])


def read_value(
    probabilities: np.ndarray, confusion: dict[int, np.ndarray], observable: SparsePauliOp
) -> float:
    """What faulty readings tell of a diagonal observable, by the probabilities of all readings."""
    num_qubits = observable.num_qubits
    table = probabilities.reshape([2] * num_qubits)
    for qubit, matrix in confusion.items():
        axis = num_qubits - 1 - qubit
        table = np.moveaxis(np.tensordot(table, matrix, axes=(axis, 0)), -1, axis)
    return float(np.real(np.diagonal(observable.to_matrix())) @ table.reshape(-1))


@pytest.mark.parametrize("labels", [["IZI"], ["ZIZ"], ["ZZZ", "IIZ", "III"], ["III"]])
def test_diagonal_observables_agree_with_confused_probabilities(
    labels: list[str], rng: np.random.Generator, seed: int
) -> None:
    tables = {0: confusion(rng), 1: confusion(rng), 2: confusion(rng)}
    observable = SparsePauliOp(labels, rng.normal(size=len(labels)))
    state = random_statevector(8, seed=seed)
    expected = read_value(state.probabilities(), tables, observable)
    found = state.expectation_value(with_readout_error(observable, tables)).real
    assert found == pytest.approx(expected, abs=1e-12)


def test_x_and_y_are_read_as_z_after_a_rotation(rng: np.random.Generator, seed: int) -> None:
    tables = {0: confusion(rng), 1: confusion(rng)}
    state = random_statevector(4, seed=seed)
    found = state.expectation_value(with_readout_error(SparsePauliOp("YX"), tables)).real
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    # Takes Y to Z.
    from_y = hadamard @ np.diag([1, -1j])
    rotated = np.kron(from_y, hadamard) @ state.data
    expected = read_value(np.abs(rotated) ** 2, tables, SparsePauliOp("ZZ"))
    assert found == pytest.approx(expected, abs=1e-12)


def test_qubits_read_without_error_change_nothing() -> None:
    observable = SparsePauliOp(["ZI", "IZ"], [0.5, 2.0])
    assert with_readout_error(observable, {}) == observable
    assert with_readout_error(observable, {0: np.eye(2)}).equiv(observable)


def test_symmetric_errors_only_shrink() -> None:
    symmetric = np.array([[0.9, 0.1], [0.1, 0.9]])
    noisy = with_readout_error(SparsePauliOp("ZZ"), {0: symmetric, 1: symmetric})
    assert noisy == SparsePauliOp("ZZ", [0.64])
