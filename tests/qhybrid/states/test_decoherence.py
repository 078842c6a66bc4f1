import numpy as np
import pytest
import torch
from qiskit.quantum_info import (
    DensityMatrix,
    Operator,
    Pauli,
    SuperOp,
    pauli_basis,
    random_density_matrix,
)
from qiskit_aer.noise import thermal_relaxation_error
from qiskit_ibm_runtime.fake_provider import FakeFez

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.states.decoherence import DecoherenceProcess
from qhybrid.states.density import maximally_mixed
from qhybrid_circuits.errors import RequestError, ShapeError, UnknownNameError

T1, T2 = (120e-6, 80e-6, 200e-6), (90e-6, 150e-6, 60e-6)
DELAYS = (5e-6, 30e-6, 200e-6)


def random(num_qubits: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(random_density_matrix(2**num_qubits, seed=seed).data)


def twirled(t1: float, t2: float, delay: float) -> SuperOp:
    """Return Aer's relaxation, averaged over Paulis before it that are undone after it."""
    noise = SuperOp(thermal_relaxation_error(t1, t2, delay))
    paulis = [SuperOp(Operator(Pauli(name))) for name in "IXYZ"]
    return SuperOp(sum((p @ noise @ p).data for p in paulis) / 4)


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
def test_steps_are_aers_relaxation_of_each_qubit(num_qubits: int) -> None:
    process = DecoherenceProcess(T1[:num_qubits], T2[:num_qubits], DELAYS)
    ours = random(num_qubits, 1)
    theirs = DensityMatrix(ours.numpy())
    for t, delay in enumerate(np.diff((0.0, *DELAYS)), start=1):
        ours = process.step(ours, t)
        for qubit in range(num_qubits):
            theirs = theirs.evolve(twirled(T1[qubit], T2[qubit], delay), [qubit])
        np.testing.assert_allclose(ours, theirs.data, atol=1e-12)


def test_closed_form_is_the_steps_one_after_another() -> None:
    process, clean = DecoherenceProcess(T1, T2, DELAYS), torch.stack([random(3, 2), random(3, 3)])
    now = clean
    for t in (1, 2, 3):
        now = process.step(now, t)
        np.testing.assert_allclose(process.noisy(clean, t), now, atol=1e-14)
    each = process.noisy(clean, torch.tensor([3, 0]))
    np.testing.assert_allclose(each[0], now[0], atol=1e-14)
    np.testing.assert_allclose(each[1], clean[1], atol=1e-14)


def test_a_schedule_says_how_much_is_lost() -> None:
    """On average over Pauli strings as much as by depolarizing noise, which is the same to all."""
    spec, paulis = ScheduleSpec("cosine", 6), torch.from_numpy(pauli_basis(2).to_matrix(array=True))
    process = DecoherenceProcess.from_schedule(spec, T1[:2], T2[:2])
    states = maximally_mixed(2) + paulis[1:] / 4
    for t, alpha in enumerate(noise_scheduler(spec).alphas_cumprod.double().tolist(), start=1):
        factors = torch.einsum("pij,pji->p", process.noisy(states, t), paulis[1:]).real
        assert factors.mean().item() == pytest.approx(alpha, abs=1e-9)
    np.testing.assert_allclose(process.noisy(random(2, 0), 6), maximally_mixed(2), atol=0.02)


def test_qubits_are_coupled_and_live_longest() -> None:
    process = DecoherenceProcess.on_fake_qpu("fake_fez", 2, ScheduleSpec("cosine", 3))
    target = FakeFez().target
    times = [(each.t1, each.t2) for each in target.qubit_properties]
    best = max(
        (min(*times[a], *times[b]) for a, b in target.build_coupling_map().get_edges()),
    )
    assert min(*process.t1, *process.t2) == best


def test_wrong_requests() -> None:
    for wrong in ((0.0, 1.0, [1.0]), (1.0, -1.0, [1.0]), (1.0, 1.0, []), (1.0, 1.0, [2.0, 1.0])):
        t1, t2, delays = wrong
        with pytest.raises(RequestError, match="must"):
            DecoherenceProcess([t1], [t2], delays)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="2 qubits"):
        DecoherenceProcess(T1[:2], T2[:2], DELAYS).noisy(random(1, 0), 1)
    with pytest.raises(UnknownNameError, match="did you mean fake_fez"):
        ScheduleSpec(decoherence="fake_fes")
    with pytest.raises(RequestError, match="no line of 2 coupled qubits"):
        DecoherenceProcess.on_fake_qpu("fake_armonk", 2, ScheduleSpec("cosine", 3))
