import pytest
import torch

from qhybrid.states.density import density_matrices, maximally_mixed, random_states, state_cluster
from qhybrid.states.depolarizing import DepolarizingProcess
from qhybrid.states.losses import STATE_LOSSES, fidelity
from qhybrid.states.objective import state_denoising_loss, state_generation_loss
from qhybrid.states.reverse import ReverseProcess
from qhybrid_circuits.errors import RequestError, UnknownNameError


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("loss", STATE_LOSSES)
def test_denoising_loss_compares_with_one_step_less_noise(loss: str) -> None:
    """With a reverse process that does nothing, and one step, it is the loss of the noise."""
    process = DepolarizingProcess([0.4])
    reverse = ReverseProcess(2, 1, generator=_generator())
    with torch.no_grad():
        reverse.weights.zero_()
    states = density_matrices(random_states(2, 5, _generator()))
    value = state_denoising_loss(reverse, process, states, _generator(), loss=loss)
    expected = {"fidelity": 0.4 * 3 / 4, "trace": 0.4 * 3 / 4, "hilbert-schmidt": 0.16 * 3 / 4}
    assert value.item() == pytest.approx(expected[loss], abs=1e-9)


@pytest.mark.parametrize("loss", STATE_LOSSES)
def test_generation_loss_compares_with_the_mean_state(loss: str) -> None:
    reverse = ReverseProcess(1, 2, generator=_generator())
    with torch.no_grad():
        reverse.weights.zero_()
    # |0> and |1> average to I/2, which the chain starts from and keeps.
    states = density_matrices(torch.eye(2))
    assert state_generation_loss(reverse, states, loss=loss).item() == pytest.approx(0, abs=1e-9)
    assert state_generation_loss(reverse, states[:1], loss=loss).item() == pytest.approx(0.5)


@pytest.mark.parametrize("loss", STATE_LOSSES)
def test_training_generates_states_near_the_target(loss: str) -> None:
    generator = _generator()
    target = random_states(1, 1, generator)[0]
    data = density_matrices(state_cluster(target, 0.2, 64, generator))
    process = DepolarizingProcess([0.1, 0.3, 0.6, 0.9])
    reverse = ReverseProcess(1, 4, layers=2, generator=generator)
    centre = density_matrices(target)
    assert fidelity(maximally_mixed(1), centre).item() == pytest.approx(0.5)
    optimizer = torch.optim.Adam(reverse.parameters(), 0.05)
    for _ in range(100):
        value = state_denoising_loss(reverse, process, data, generator, loss=loss)
        value = value + state_generation_loss(reverse, data, loss=loss)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    start = density_matrices(random_states(1, 200, generator))
    drawn = reverse.sample(start, generator)[-1]
    assert fidelity(drawn, centre.expand_as(drawn)).mean().item() > 0.9


def test_wrong_requests() -> None:
    reverse, process = ReverseProcess(1, 2, generator=_generator()), DepolarizingProcess([0.5])
    states = density_matrices(torch.eye(2))
    with pytest.raises(RequestError, match="as many steps as the forward process, 1, but has 2"):
        state_denoising_loss(reverse, process, states, _generator())
    with pytest.raises(UnknownNameError, match="did you mean fidelity"):
        state_denoising_loss(reverse, process, states, _generator(), loss="fidelty")
    with pytest.raises(UnknownNameError, match="known: fidelity, trace, hilbert-schmidt"):
        state_generation_loss(reverse, states, loss="l2")
