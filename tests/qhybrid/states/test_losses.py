import numpy as np
import pytest
import torch
from qiskit.quantum_info import DensityMatrix, random_density_matrix, state_fidelity
from torch import Tensor

from qhybrid.states.density import maximally_mixed
from qhybrid.states.losses import (
    STATE_LOSSES,
    fidelity,
    hilbert_schmidt_distance,
    infidelity,
    trace_distance,
)


def _mixed(num_qubits: int, rank: int | None, seed: int) -> Tensor:
    return torch.from_numpy(random_density_matrix(2**num_qubits, rank, seed=seed).data)


@pytest.mark.parametrize("num_qubits", [1, 2, 3, 4])
@pytest.mark.parametrize("ranks", [(None, None), (1, None), (1, 1), (2, 1), (None, 2)])
def test_values_are_those_of_qiskit_and_numpy(
    num_qubits: int, ranks: tuple[int | None, int | None]
) -> None:
    rho, sigma = (_mixed(num_qubits, rank, seed) for seed, rank in enumerate(ranks))
    expected = state_fidelity(DensityMatrix(rho.numpy()), DensityMatrix(sigma.numpy()))
    assert fidelity(rho, sigma).item() == pytest.approx(expected, abs=1e-7)
    assert infidelity(rho, sigma).item() == pytest.approx(1 - expected, abs=1e-7)
    difference = (rho - sigma).numpy()
    nuclear = np.linalg.norm(difference, "nuc") / 2
    assert trace_distance(rho, sigma).item() == pytest.approx(nuclear, abs=1e-12)
    frobenius = np.linalg.norm(difference) ** 2
    assert hilbert_schmidt_distance(rho, sigma).item() == pytest.approx(frobenius, abs=1e-12)


@pytest.mark.parametrize("name", STATE_LOSSES)
def test_batches_zero_and_bounds(name: str) -> None:
    loss = STATE_LOSSES[name]
    states = torch.stack([_mixed(2, rank, seed) for seed, rank in enumerate((1, 2, 3, 4))])
    np.testing.assert_allclose(loss(states, states), 0, atol=1e-6)
    pairs = loss(states[:, None], states[None])
    assert pairs.shape == (4, 4)
    assert pairs[0, 1].item() == pytest.approx(loss(states[0], states[1]).item(), abs=1e-12)
    np.testing.assert_allclose(pairs, pairs.T, atol=1e-7)
    basis = torch.diag_embed(torch.eye(2, dtype=torch.complex128))
    most = 2.0 if name == "hilbert-schmidt" else 1.0
    assert loss(basis[0], basis[1]).item() == pytest.approx(most)


def _state(numbers: Tensor) -> Tensor:
    """A density matrix from any 2 d^2 real numbers."""
    real, imaginary = numbers.view(2, 4, 4)
    factor = torch.complex(real, imaginary)
    positive = factor @ factor.mH
    return positive / positive.trace().real


@pytest.mark.parametrize("name", STATE_LOSSES)
@pytest.mark.parametrize("rank", [1, None])
def test_gradients_against_central_differences(name: str, rank: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(32, dtype=torch.float64, generator=generator, requires_grad=True)
    other = _mixed(2, rank, 5)
    for pair in (
        lambda state: STATE_LOSSES[name](state, other),
        lambda state: STATE_LOSSES[name](other, state),
    ):
        assert torch.autograd.gradcheck(lambda n, pair=pair: pair(_state(n)), numbers, atol=1e-5)
        if rank is None:  # square roots of pure states are not smooth
            assert torch.autograd.gradgradcheck(lambda n, pair=pair: pair(_state(n)), numbers)


@pytest.mark.parametrize("name", STATE_LOSSES)
def test_gradients_are_finite_where_eigenvalues_coincide(name: str) -> None:
    """I/d, from which every chain starts, has eigenvectors of no meaning."""
    pure = _mixed(2, 1, 0)
    for other in (maximally_mixed(2), pure):
        start = maximally_mixed(2).requires_grad_()
        STATE_LOSSES[name](start, other).backward()
        assert start.grad is not None
        assert torch.isfinite(torch.view_as_real(start.grad)).all()
        if other is pure:
            assert start.grad.abs().max() > 0
    start = maximally_mixed(2).requires_grad_()
    infidelity(start, pure).backward()
    # d (1 - <psi|rho|psi>) is -|psi><psi|.
    assert start.grad is not None
    np.testing.assert_allclose(start.grad, -pure, atol=1e-6)
