import numpy as np
import pytest
import torch
from qiskit.quantum_info import DensityMatrix
from qiskit_aer.noise import depolarizing_error

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.density import density_matrices, maximally_mixed, random_states
from qhybrid.states.depolarizing import DepolarizingProcess
from qhybrid_circuits.errors import RequestError, ShapeError

_P = [0.05, 0.3, 0.7]


def _pure(num_qubits: int, count: int) -> torch.Tensor:
    return density_matrices(random_states(num_qubits, count, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
def test_steps_are_aers_depolarizing_channel(num_qubits: int) -> None:
    process = DepolarizingProcess(_P)
    ours = _pure(num_qubits, 1)[0]
    theirs = DensityMatrix(ours.numpy())
    for t, probability in enumerate(_P, start=1):
        ours = process.step(ours, t)
        theirs = theirs.evolve(depolarizing_error(probability, num_qubits).to_quantumchannel())
        np.testing.assert_allclose(ours, theirs.data, atol=1e-12)


def test_closed_form_is_the_steps_one_after_another() -> None:
    process, clean = DepolarizingProcess(_P), _pure(4, 3)
    now = clean
    assert torch.equal(process.noisy(clean, 0), clean)
    for t in (1, 2, 3):
        now = process.step(now, t)
        np.testing.assert_allclose(process.noisy(clean, t), now, atol=1e-14)
    mixed_times = process.noisy(clean, torch.tensor([3, 0, 1]))
    np.testing.assert_allclose(mixed_times[0], now[0], atol=1e-14)
    np.testing.assert_allclose(mixed_times[1], clean[1], atol=1e-14)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_schedules_are_those_of_images(name: str) -> None:
    spec = ScheduleSpec(name, 12, *((0.02, 0.6) if name == "linear" else ()))
    process = DepolarizingProcess.from_schedule(spec)
    alpha_bar = noise_scheduler(spec).alphas_cumprod.double()
    np.testing.assert_allclose(process.alphas[1:], alpha_bar, atol=1e-12)
    assert process.steps == 12
    end = process.noisy(_pure(2, 1), 12)[0]
    np.testing.assert_allclose(end, maximally_mixed(2), atol=0.02)


def test_wrong_requests() -> None:
    for wrong in ([], [0.5, 1.1], [-0.1], [float("nan")]):
        with pytest.raises(RequestError, match="probabilities"):
            DepolarizingProcess(wrong)
    process = DepolarizingProcess(_P)
    for t in (0, 4):
        with pytest.raises(ShapeError, match="from 1 to the 3 steps"):
            process.step(maximally_mixed(1), t)
    with pytest.raises(ShapeError, match="from 0 to the 3 steps"):
        process.noisy(maximally_mixed(1), -1)
    with pytest.raises(RequestError, match="trace one"):
        process.noisy(torch.eye(2), 1)
