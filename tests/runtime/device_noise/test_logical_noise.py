from dataclasses import replace

import numpy as np
import pytest
from device_noise_checks import device_values, trajectory_values, twirled_values
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.error_sampler import ErrorSampler
from qhybrid_runtime.device_noise.logical_noise import find_logical_noise, with_logical_noise
from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit, with_device_noise
from qhybrid_runtime.device_noise.readout import with_readout_error
from qhybrid_runtime.hardware.targets import fake_target, uniform_target
from tests.selection import thorough

ANSATZE = {
    "basic_entangling": build_ansatz("basic_entangling"),
    "hqconv": build_ansatz("hqconv", channels=1, layers=2),
    "fqconv": build_ansatz("fqconv", channels=1, layers=1),
}


@pytest.fixture(scope="module")
def fez() -> Target:
    return fake_target("fake_fez")


def lowered_once(
    variational: VariationalCircuit, target: Target, rng: np.random.Generator
) -> tuple[np.ndarray, LoweredCircuit]:
    numbers = rng.uniform(0.2, 0.8, variational.circuit.num_parameters)
    bound = variational.circuit.assign_parameters(numbers)
    return numbers, lower(bound, target, observables=variational.observables, seeds=[0])


def chance_of_error(noisy: NoisyCircuit) -> float:
    return ErrorSampler(noisy.locations, noisy.num_sites).error_probability


@pytest.mark.parametrize("ansatz", ["hqconv", "fqconv", *thorough(["basic_entangling"])])
def test_logical_noise_stands_for_aers_device_noise(
    ansatz: str, fez: Target, rng: np.random.Generator
) -> None:
    """Values with it are far nearer to the device's than those without noise are."""
    variational = ANSATZE[ansatz]
    numbers, lowered = lowered_once(variational, fez, rng)
    noise = DeviceNoise(fez)
    circuit, layout = lowered.compact()
    observables = [
        o.apply_layout(list(layout), circuit.num_qubits) for o in variational.observables
    ]
    small = restricted_target(fez, lowered.qubits)
    expected = device_values(circuit, small, observables, idling=True)
    noisy = with_logical_noise(variational.circuit, numbers, lowered, noise)
    bound = replace(noisy, circuit=noisy.circuit.assign_parameters(numbers))
    confusion = {q: noise.confusion(place) for q, place in enumerate(lowered.final_layout)}
    read = [with_readout_error(o, confusion) for o in variational.observables]
    found = twirled_values(bound, read)
    perfect = trajectory_values(circuit, [], observables)
    assert np.abs(found - expected).max() < 0.025
    assert np.abs(perfect - expected).max() > 2 * np.abs(found - expected).max()


@pytest.mark.parametrize("ansatz", ANSATZE)
def test_no_error_of_the_lowered_circuit_is_lost(ansatz: str, rng: np.random.Generator) -> None:
    variational = ANSATZE[ansatz]
    target = uniform_target(variational.num_qubits, depolarizing=0.01)
    numbers, lowered = lowered_once(variational, target, rng)
    noise = DeviceNoise(target)
    logical = with_logical_noise(variational.circuit, numbers, lowered, noise)
    physical = with_device_noise(lowered.compact()[0], noise, lowered.qubits)
    # Two errors at the same sites may cancel, and other sites are shared: it is not quite the same.
    assert chance_of_error(logical) == pytest.approx(chance_of_error(physical), rel=0.01)


def test_swaps_are_followed(fez: Target) -> None:
    """On a line a triangle needs a swap; the last qubits' noise goes where they then are."""
    circuit = QuantumCircuit(3)
    circuit.crx(0.7, 0, 1)
    circuit.crx(0.8, 1, 2)
    circuit.crx(0.9, 2, 0)
    circuit.crx(1.1, 0, 1)
    lowered = lower(circuit, fez, seeds=[0])
    assert lowered.circuit.num_nonlocal_gates() > 8
    noisy = with_logical_noise(circuit, np.empty(0), lowered, DeviceNoise(fez))
    assert noisy.num_sites == 8
    widths = [len(location.sites) for location in noisy.locations]
    # Four pairs of their own sites, and what else the swaps touch.
    assert widths.count(2) >= 4
    pairs = {location.sites for location in noisy.locations}
    assert pairs >= {(0, 1), (2, 3), (4, 5), (6, 7)}


def test_what_cannot_be_read_is_spread_evenly(fez: Target, rng: np.random.Generator) -> None:
    """Two pairs that have nothing to do with each other keep their own noise."""
    circuit = QuantumCircuit(4)
    for pair in ((0, 1), (2, 3), (0, 1)):
        circuit.crx(Parameter(f"a{len(circuit.data)}"), *pair)
        circuit.ry(0.3, pair)
        circuit.cz(*pair)
    circuit.ry(0.2, range(4))
    numbers = rng.uniform(0.5, 1.0, circuit.num_parameters)
    lowered = lower(circuit.assign_parameters(numbers), fez, seeds=[0])
    noise = DeviceNoise(fez)
    # Other numbers than those that were lowered: no run of gates is one of these runs.
    other = with_logical_noise(circuit, numbers + 0.3, lowered, noise)
    assert [location.sites for location in other.locations] == [(0, 1), (2, 3)]
    physical = with_device_noise(lowered.compact()[0], noise, lowered.qubits)
    assert chance_of_error(other) == pytest.approx(chance_of_error(physical), rel=0.01)
    errors = [location.channel.error_probability for location in other.locations]
    assert errors[0] != pytest.approx(errors[1], rel=0.01)


def test_qubits_without_two_qubit_gates_have_a_site_at_their_end(fez: Target) -> None:
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rx(0.4, 1)
    noisy = with_logical_noise(
        circuit, np.empty(0), lower(circuit, fez, seeds=[0]), DeviceNoise(fez)
    )
    assert noisy.num_sites == 2
    assert [location.sites for location in noisy.locations] == [(0,), (1,)]


def test_larger_gates_are_taken_apart(fez: Target) -> None:
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    variational = VariationalCircuit("toffoli", circuit, (), (), (SparsePauliOp("ZZZ"),))
    found = find_logical_noise(variational, fez)
    assert found.noisy.num_sites >= 8
    assert len(found.observables) == 1
