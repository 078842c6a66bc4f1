import numpy as np
import pytest
from qiskit.quantum_info import PTM, Kraus, SuperOp, random_quantum_channel
from qiskit_aer.noise import (
    amplitude_damping_error,
    depolarizing_error,
    pauli_error,
    thermal_relaxation_error,
)

from qhybrid_runtime.device_noise.channels import PauliChannel

PAULIS = ("I", "X", "Y", "Z")


def by_pauli_error(channel: PauliChannel) -> SuperOp:
    """The same channel as Aer builds it."""
    width = channel.num_qubits
    labels = [
        "".join(PAULIS[number >> 2 * q & 3] for q in reversed(range(width)))
        for number in range(4**width)
    ]
    return SuperOp(pauli_error(list(zip(labels, channel.probabilities, strict=True))))


def random_channel(num_qubits: int, seed: int) -> PauliChannel:
    return PauliChannel.twirled(random_quantum_channel(2**num_qubits, seed=seed))


@pytest.mark.parametrize("num_qubits", [1, 2])
def test_twirl_keeps_the_diagonal_of_the_transfer_matrix(num_qubits: int, seed: int) -> None:
    channel = random_quantum_channel(2**num_qubits, seed=seed)
    twirled = by_pauli_error(PauliChannel.twirled(channel))
    expected = np.diag(np.diagonal(PTM(channel).data))
    np.testing.assert_allclose(PTM(twirled).data, expected, atol=1e-12)


def test_twirl_is_the_average_over_the_pauli_group(seed: int) -> None:
    channel = SuperOp(random_quantum_channel(2, seed=seed))
    conjugations = [SuperOp(Kraus(pauli_error([(p, 1.0)]))) for p in PAULIS]
    average = sum((c @ channel @ c).data for c in conjugations) / 4
    twirled = by_pauli_error(PauliChannel.twirled(channel))
    np.testing.assert_allclose(twirled.data, average, atol=1e-12)


def test_depolarizing_noise_is_its_own_twirl() -> None:
    channel = PauliChannel.twirled(depolarizing_error(0.08, 2))
    np.testing.assert_allclose(channel.probabilities[1:], 0.08 / 16)
    assert channel.error_probability == pytest.approx(0.08 * 15 / 16)


def test_amplitude_damping_strikes_x_and_y_alike() -> None:
    gamma = 0.1
    channel = PauliChannel.twirled(amplitude_damping_error(gamma))
    rest = np.sqrt(1 - gamma)
    expected = [gamma / 4, gamma / 4, (1 - rest) / 2 - gamma / 4]
    np.testing.assert_allclose(channel.probabilities[1:], expected)


@pytest.mark.parametrize(("t1", "t2"), [(1e-4, 6e-5), (1e-4, 1.7e-4), (np.inf, 5e-5)])
def test_relaxation_is_the_twirl_of_aers(t1: float, t2: float) -> None:
    expected = PauliChannel.twirled(thermal_relaxation_error(t1, t2, 3e-6))
    found = PauliChannel.relaxation(3e-6, t1, t2)
    np.testing.assert_allclose(found.fidelities, expected.fidelities, atol=1e-12)


def test_relaxation_takes_an_unphysical_t2_for_twice_t1() -> None:
    found = PauliChannel.relaxation(3e-6, 1e-4, 5e-4)
    expected = PauliChannel.relaxation(3e-6, 1e-4, 2e-4)
    np.testing.assert_array_equal(found.fidelities, expected.fidelities)
    assert found.probabilities.min() >= 0


def test_composition_is_that_of_superoperators(seed: int) -> None:
    channels = [random_channel(2, seed + step) for step in range(3)]
    expected = by_pauli_error(channels[0])
    for channel in channels[1:]:
        expected = expected.compose(by_pauli_error(channel))
    composed = channels[0].then(channels[1]).then(channels[2])
    np.testing.assert_allclose(by_pauli_error(composed).data, expected.data, atol=1e-12)


def test_channels_move_to_places_of_a_larger_register(seed: int) -> None:
    one, two = random_channel(1, seed), random_channel(2, seed)
    # Qiskit's tensor product has the last factor on the first qubit.
    identity = by_pauli_error(PauliChannel(np.ones(4)))
    expected = by_pauli_error(one).tensor(identity)
    np.testing.assert_allclose(by_pauli_error(one.on([1], 2)).data, expected.data, atol=1e-12)
    exchanged = two.on([1, 0], 2)
    table = two.probabilities.reshape(4, 4)
    np.testing.assert_allclose(exchanged.probabilities.reshape(4, 4), table.T)


def test_a_dropped_qubit_leaves_the_marginal(seed: int) -> None:
    two = random_channel(2, seed)
    table = two.probabilities.reshape(4, 4)
    np.testing.assert_allclose(two.on([-1, 0], 1).probabilities, table.sum(axis=1))
    np.testing.assert_allclose(two.on([0, -1], 1).probabilities, table.sum(axis=0))
