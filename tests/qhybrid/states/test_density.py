import numpy as np
import pytest
import torch
from qiskit.quantum_info import DensityMatrix, Statevector

from qhybrid.states.density import (
    check_density_matrices,
    density_matrices,
    maximally_mixed,
    random_states,
    state_cluster,
)
from qhybrid_circuits.errors import NotFiniteError, RequestError, ShapeError


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_density_matrices_are_qiskits() -> None:
    vectors = random_states(3, 4, _generator())
    for vector, matrix in zip(vectors, density_matrices(3j * vectors), strict=True):
        expected = DensityMatrix(Statevector(vector.numpy()))
        np.testing.assert_allclose(matrix, expected.data, atol=1e-14)


@pytest.mark.parametrize("num_qubits", [1, 2, 3, 4])
def test_haar_random_states_average_to_the_maximally_mixed_state(num_qubits: int) -> None:
    states = random_states(num_qubits, 20_000, _generator())
    dimension = 2**num_qubits
    mean = density_matrices(states).mean(0)
    np.testing.assert_allclose(mean, maximally_mixed(num_qubits), atol=0.01)
    # The fidelity F of two Haar-random states has the mean of F**2 2 / (d (d + 1)).
    squared = states[:, 0].abs() ** 4
    assert squared.mean().item() == pytest.approx(2 / (dimension * (dimension + 1)), rel=0.05)


def test_a_cluster_lies_around_its_target() -> None:
    target = random_states(2, 1, _generator(1))[0]
    for spread in (0.1, 0.2):
        states = state_cluster(2 * target, spread, 20_000, _generator(2))
        fidelities = (states @ target.conj()).abs() ** 2
        assert 1 - fidelities.mean().item() == pytest.approx(spread**2 * 3 / 4, rel=0.06)
    again = state_cluster(target, 0.1, 3, _generator(3))
    assert torch.equal(again, state_cluster(target, 0.1, 3, _generator(3)))
    exact = state_cluster(target, 0.0, 1, _generator(3))[0]
    np.testing.assert_allclose(exact, target, atol=1e-14)


def test_what_is_no_density_matrix_is_named() -> None:
    good = maximally_mixed(2)
    assert check_density_matrices("rho", good) == 2
    assert check_density_matrices("rho", good.expand(0, 4, 4)) == 2
    for matrix, what in (
        (good + torch.ones(4, 4).triu(1), "Hermitian"),
        (2 * good, "of trace one"),
        (torch.diag(torch.tensor([1.5, -0.5, 0, 0])), "positive"),
    ):
        with pytest.raises(RequestError, match=f"`rho` .* one is not {what}"):
            check_density_matrices("rho", torch.stack([good, matrix.to(good)]))
    for shape in ((4,), (3, 3), (4, 2), (32, 32)):
        with pytest.raises(ShapeError, match="d = 2, 4, 8 or 16"):
            check_density_matrices("rho", torch.zeros(shape))
    with pytest.raises(NotFiniteError):
        check_density_matrices("rho", good * float("nan"))


def test_wrong_requests() -> None:
    for num_qubits in (0, 5):
        with pytest.raises(RequestError, match="1 to 4 qubits"):
            maximally_mixed(num_qubits)
    with pytest.raises(RequestError, match="zero vector"):
        density_matrices(torch.zeros(2, 4))
    with pytest.raises(NotFiniteError):
        density_matrices(torch.tensor([1.0, float("inf")]))
    with pytest.raises(RequestError, match="spread"):
        state_cluster(torch.tensor([1.0, 0.0]), -1.0, 2, _generator())
    with pytest.raises(ShapeError, match="state vector"):
        state_cluster(torch.ones(3), 0.1, 2, _generator())
    with pytest.raises(RequestError, match="count"):
        random_states(1, -1, _generator())
