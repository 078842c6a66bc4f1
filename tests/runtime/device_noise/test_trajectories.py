import numpy as np
import pytest
from device_noise_checks import device_values, twirled_values
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError, VariationalCircuit, build_ansatz
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.targets import restricted_target, with_fractional_gates
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.noisy_circuit import with_device_noise
from qhybrid_runtime.device_noise.readout import with_readout_error
from qhybrid_runtime.device_noise.trajectories import TrajectoryExecutor
from qhybrid_runtime.hardware.targets import fake_target, uniform_target
from qhybrid_runtime.tasks import LoweredTask

CASES = {
    "basic_entangling": build_ansatz("basic_entangling"),
    "hqconv": build_ansatz("hqconv", channels=2, layers=1),
}


@pytest.fixture(scope="module")
def fez() -> Target:
    return fake_target("fake_fez")


def task_of(
    variational: VariationalCircuit, target: Target, rng: np.random.Generator, samples: int = 3
) -> LoweredTask:
    weights = rng.random(variational.num_weights)
    lowered = lower(variational, target, weights=weights, seeds=[0])
    inputs = rng.normal(size=(samples, lowered.circuit.num_parameters))
    return LoweredTask(lowered, variational.observables, inputs)


def twirled(task: LoweredTask, target: Target) -> np.ndarray:
    """What the trajectories average to, by Aer's density matrices, shape (N, n_obs)."""
    lowered = task.lowered
    circuit, layout = lowered.compact()
    noise = DeviceNoise(target)
    confusion = {qubit: noise.confusion(lowered.qubits[qubit]) for qubit in layout}
    read = [with_readout_error(o, confusion) for o in placed(task.observables, lowered)]
    return np.array(
        [
            twirled_values(
                with_device_noise(circuit.assign_parameters(row), noise, lowered.qubits), read
            )
            for row in task.inputs
        ]
    )


def placed(observables: tuple[SparsePauliOp, ...], lowered: LoweredCircuit) -> list[SparsePauliOp]:
    circuit, layout = lowered.compact()
    return [o.apply_layout(list(layout), circuit.num_qubits) for o in observables]


@pytest.mark.parametrize("case", CASES)
def test_values_agree_with_density_matrices_of_the_same_channels(
    case: str, fez: Target, rng: np.random.Generator, seed: int
) -> None:
    task = task_of(CASES[case], fez, rng)
    (found,) = TrajectoryExecutor(fez, seed=seed).run([task], 0.003)
    assert found.values.shape == found.standard_errors.shape == (3, len(task.observables))
    assert (found.standard_errors <= 0.003).all()
    difference = np.abs(found.values - twirled(task, fez))
    assert (difference < 5 * found.standard_errors + 1e-6).all()


def test_values_are_near_those_of_aers_device_model(
    fez: Target, rng: np.random.Generator, seed: int
) -> None:
    task = task_of(CASES["hqconv"], fez, rng, samples=1)
    (found,) = TrajectoryExecutor(fez, seed=seed).run([task], 0.003)
    lowered = task.lowered
    circuit = lowered.compact()[0].assign_parameters(task.inputs[0])
    small = restricted_target(fez, lowered.qubits)
    observables = placed(task.observables, lowered)
    expected = device_values(circuit, small, observables, idling=True)
    assert np.abs(found.values[0] - expected).max() < 0.02 + 5 * 0.003


def test_rounds_average_to_the_value_and_scatter_as_they_say(
    fez: Target, rng: np.random.Generator, seed: int
) -> None:
    task = task_of(CASES["basic_entangling"], fez, rng, samples=2)
    executor = TrajectoryExecutor(fez, seed=seed)
    rounds = [executor.run([task], 0.02)[0] for _ in range(200)]
    values = np.array([estimate.values for estimate in rounds])
    told = np.sqrt(np.mean([estimate.standard_errors**2 for estimate in rounds], axis=0))
    scatter = values.std(axis=0, ddof=1)
    np.testing.assert_allclose(scatter, told, rtol=0.35)
    error = scatter / np.sqrt(len(rounds))
    assert (np.abs(values.mean(axis=0) - twirled(task, fez)) < 5 * error).all()


def test_the_seed_and_the_round_decide(fez: Target, rng: np.random.Generator) -> None:
    task = task_of(CASES["basic_entangling"], fez, rng)

    def rounds(seed: int) -> list[np.ndarray]:
        executor = TrajectoryExecutor(fez, seed=seed)
        return [executor.run([task], 0.05)[0].values for _ in range(2)]

    first, again, other = rounds(1), rounds(1), rounds(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_trajectories_are_bounded(fez: Target, rng: np.random.Generator) -> None:
    task = task_of(CASES["basic_entangling"], fez, rng)
    (few,) = TrajectoryExecutor(fez, seed=1, max_trajectories=64).run([task], 1e-5)
    assert (few.standard_errors > 1e-5).all()


def test_without_noise_values_are_exact(rng: np.random.Generator) -> None:
    variational = CASES["basic_entangling"]
    target = uniform_target(variational.num_qubits)
    task = task_of(variational, target, rng)
    (found,) = TrajectoryExecutor(target).run([task], 0.1)
    np.testing.assert_allclose(found.values, twirled(task, target), atol=1e-5)
    assert not found.standard_errors.any()


def test_fractional_gates_have_the_noise_of_their_pair(
    fez: Target, rng: np.random.Generator
) -> None:
    variational = CASES["basic_entangling"]
    weights = rng.random(variational.num_weights)
    lowered = lower(variational, fez, weights=weights, fractional=True, seeds=[0])
    assert lowered.circuit.count_ops().get("rzz", 0) > 0
    inputs = rng.normal(size=(1, lowered.circuit.num_parameters))
    task = LoweredTask(lowered, variational.observables, inputs)
    (found,) = TrajectoryExecutor(fez, seed=1).run([task], 0.01)
    difference = np.abs(found.values - twirled(task, with_fractional_gates(fez)))
    assert (difference < 5 * found.standard_errors + 1e-6).all()


def test_trajectories_cannot_be_exact(fez: Target) -> None:
    with pytest.raises(RequestError, match="estimates"):
        TrajectoryExecutor(fez).run([], 0)
