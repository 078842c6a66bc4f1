"""Each step against Qiskit's circuit, density-matrix evolution and partial trace."""

import numpy as np
import pytest
import torch
from qiskit.quantum_info import DensityMatrix, Operator, Statevector, partial_trace
from torch import Tensor

from qhybrid.states.density import density_matrices, maximally_mixed, random_states
from qhybrid.states.losses import fidelity
from qhybrid.states.reverse import ReverseProcess
from qhybrid_circuits.errors import RequestError, ShapeError
from qhybrid_runtime import get_backend


def _process(num_qubits: int = 2, steps: int = 3, ancillas: int = 1) -> ReverseProcess:
    generator = torch.Generator().manual_seed(7)
    process = ReverseProcess(num_qubits, steps, ancillas=ancillas, layers=2, generator=generator)
    with torch.no_grad():
        process.weights.copy_(torch.randn(process.weights.shape, generator=generator))
    return process


def _states(num_qubits: int, count: int) -> Tensor:
    vectors = random_states(num_qubits, 2 * count, torch.Generator().manual_seed(1))
    return density_matrices(vectors).view(2, count, *[2**num_qubits] * 2).mean(0)


def _by_qiskit(process: ReverseProcess, state: Tensor, t: int) -> np.ndarray:
    """Append |0> ancillas, run the circuit, trace the ancillas out."""
    ancillas = DensityMatrix.from_label("0" * process.ancillas)
    joint = DensityMatrix(state.numpy()).expand(ancillas).evolve(process.circuit(t))
    first = process.num_qubits
    return partial_trace(joint, range(first, first + process.ancillas)).data


@pytest.mark.parametrize(("num_qubits", "ancillas"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1)])
def test_a_step_is_the_circuit_with_the_ancillas_traced_out(num_qubits: int, ancillas: int) -> None:
    process, states = _process(num_qubits, 3, ancillas), _states(num_qubits, 3)
    t = torch.tensor([2, 1, 3])
    after = process(states, t)
    for state, result, time in zip(states, after, t.tolist(), strict=True):
        np.testing.assert_allclose(result.detach(), _by_qiskit(process, state, time), atol=1e-12)


def test_without_ancillas_a_step_is_unitary() -> None:
    process, states = _process(ancillas=0), _states(2, 1)
    expected = DensityMatrix(states[0].numpy()).evolve(Operator(process.circuit(1))).data
    result = process(states, torch.tensor([1]))[0]
    np.testing.assert_allclose(result.detach(), expected, atol=1e-12)
    # So nothing can be generated from I/d.
    np.testing.assert_allclose(process.chain()[-1].detach(), np.eye(4) / 4, atol=1e-12)


def test_outcomes_are_the_kraus_operators_of_the_circuit() -> None:
    process, states = _process(2, 2, 2), _states(2, 3)
    parts = process.instruments().detach()
    assert parts.shape == (2, 4, 16, 16)
    for t in (1, 2):
        unitary = Operator(process.circuit(t)).data.reshape(4, 4, 4, 4)
        for outcome in range(4):
            kraus = unitary[outcome, :, 0, :]
            for state in states.numpy():
                found = state.ravel() @ parts[t - 1, outcome].numpy()
                expected = kraus @ state @ kraus.conj().T
                np.testing.assert_allclose(found.reshape(4, 4), expected, atol=1e-12)


def test_aer_runs_the_circuits_of_the_same_process() -> None:
    ours, states = _process(), _states(2, 3)
    aer = ReverseProcess(2, 3, ancillas=1, layers=2, backend=get_backend("aer"))
    aer.load_state_dict(ours.state_dict())
    t = torch.tensor([3, 1, 1])
    found, expected = aer(states, t), ours(states, t)
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-12)
    gradients = [
        torch.autograd.grad(each[:, 0, 1].imag.sum(), process.weights)[0]
        for each, process in ((found, aer), (expected, ours))
    ]
    assert gradients[0].abs().max() > 0.01
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-10)


def test_every_weight_acts() -> None:
    for num_qubits, ancillas in ((1, 1), (2, 1), (2, 2)):
        process = _process(num_qubits, 1, ancillas)
        states = _states(num_qubits, 4)
        found = process(states, torch.ones(4, dtype=torch.int64))
        direction = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator())
        (gradient,) = torch.autograd.grad((found * direction).real.sum(), process.weights)
        assert (gradient.abs() > 1e-6).all()


def test_a_backend_with_errors_is_refused() -> None:
    with pytest.raises(RequestError, match="must be exact, but 'aer:depolarizing=0\\.01'"):
        ReverseProcess(1, 2, backend=get_backend("aer:depolarizing=0.01"))


def test_the_chain_runs_from_the_last_step_to_the_first() -> None:
    process = _process()
    chain = process.chain().detach()
    assert chain.shape == (4, 4, 4)
    assert torch.equal(chain[0], maximally_mixed(2))
    state = chain[0]
    for t, after in zip((3, 2, 1), chain[1:], strict=True):
        state = torch.from_numpy(_by_qiskit(process, state, t))
        np.testing.assert_allclose(after, state, atol=1e-12)
    many = process.chain(_states(2, 5)).detach()
    assert many.shape == (4, 5, 4, 4)


def test_drawn_states_are_pure_and_average_to_the_chain() -> None:
    process = _process()
    generator = torch.Generator().manual_seed(3)
    start = _states(2, 1)[0].expand(20_000, 4, 4)
    drawn = process.sample(start, generator)
    np.testing.assert_allclose(drawn[-1].mean(0), process.chain(start[0])[-1].detach(), atol=0.02)
    pure = density_matrices(random_states(2, 50, generator))
    end = process.sample(pure, generator)[-1]
    np.testing.assert_allclose((end @ end).diagonal(dim1=-2, dim2=-1).sum(-1).real, 1, atol=1e-10)
    again = process.sample(pure, torch.Generator().manual_seed(4))
    assert torch.equal(again, process.sample(pure, torch.Generator().manual_seed(4)))


def test_outcomes_have_the_probabilities_of_the_circuit() -> None:
    process = _process(1, 1)
    generator = torch.Generator().manual_seed(5)
    state = density_matrices(random_states(1, 1, generator))
    drawn = process.sample(state.expand(20_000, 2, 2), generator)[-1]
    vector = torch.linalg.eigh(state[0]).eigenvectors[:, -1].numpy()
    joint = Statevector(vector).expand(Statevector.from_label("0")).evolve(process.circuit(1))
    for outcome, share in enumerate(joint.probabilities([1])):
        part = joint.data.reshape(2, 2)[outcome]
        conditional = torch.from_numpy(np.outer(part, part.conj()) / share)
        hits = (drawn - conditional).abs().amax((1, 2)) < 1e-9
        assert hits.double().mean().item() == pytest.approx(share, abs=0.015)


def test_gradients_against_central_differences() -> None:
    process = _process(1, 2)
    target = density_matrices(torch.tensor([0.6, 0.8j]))
    infidelity = 1 - fidelity(process.chain()[-1], target)
    infidelity.backward()
    gradient = process.weights.grad
    assert gradient is not None
    assert gradient.abs().max() > 0.01
    step = 1e-5
    with torch.no_grad():
        for t in range(2):
            for index in range(process.weights.shape[1]):
                ends = []
                for shift in (step, -2 * step):
                    process.weights[t, index] += shift
                    ends.append(1 - fidelity(process.chain()[-1], target).item())
                process.weights[t, index] += step
                slope = (ends[0] - ends[1]) / (2 * step)
                assert gradient[t, index].item() == pytest.approx(slope, abs=1e-7)


def test_first_weights_come_from_the_generator_and_lie_near_the_identity() -> None:
    first, second = (
        ReverseProcess(2, 3, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(first.weights, second.weights)
    with torch.no_grad():
        first.weights.zero_()
    states = _states(2, 3)
    result = first(states, torch.tensor([1, 2, 3])).detach()
    np.testing.assert_allclose(result, states, atol=1e-14)


def test_wrong_requests() -> None:
    generator = torch.Generator()
    for wrong, name in (
        ({"num_qubits": 5}, "1 to 4 qubits"),
        ({"steps": 0}, "`steps`"),
        ({"ancillas": 3}, "`ancillas` must be from 0 to 2"),
        ({"layers": 0}, "`layers`"),
    ):
        options = {"num_qubits": 2, "steps": 3, **wrong}
        with pytest.raises(RequestError, match=name):
            ReverseProcess(**options, generator=generator)
    process = _process()
    for t in (torch.tensor([0]), torch.tensor([4]), torch.tensor([1, 2])):
        with pytest.raises(ShapeError, match="`t` must hold a time from 1 to 3"):
            process(_states(2, 1), t)
    with pytest.raises(ShapeError, match="of 2 qubits"):
        process.chain(maximally_mixed(1))
    with pytest.raises(RequestError, match="trace one"):
        process.chain(torch.eye(4, dtype=torch.complex128))
    with pytest.raises(ShapeError, match=r"\(N, d, d\)"):
        process.sample(maximally_mixed(2), generator)
    with pytest.raises(ShapeError, match="from 1 to 3"):
        process.circuit(0)
