import numpy as np
import pytest
from device_noise_checks import (
    device_values,
    scheduled,
    site_qubits,
    trajectory_values,
    twirled_values,
    without_first_delays,
)
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.circuit.library import CZGate, SXGate
from qiskit.transpiler import InstructionProperties, Target
from qiskit_ibm_runtime.fake_provider import FakeFez

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime.device_noise.device_noise import DeviceNoise
from qhybrid_runtime.device_noise.noisy_circuit import (
    FaultLocation,
    NoisyCircuit,
    noise_after,
    waiting_times,
    with_device_noise,
)
from qhybrid_runtime.device_noise.readout import with_readout_error
from qhybrid_runtime.engine.error_site import ErrorSite
from tests.selection import thorough

#: Circuit, and how far twirling may move an output: without waiting, and with it.
CASES = {
    "basic_entangling": (build_ansatz("basic_entangling"), 0.01, 0.025),
    "hqconv 4": (build_ansatz("hqconv", channels=1, layers=3), 0.01, 0.025),
    "hqconv 8": (build_ansatz("hqconv", channels=2, layers=2), 0.01, 0.025),
}


@pytest.fixture(scope="module")
def fez() -> Target:
    return FakeFez().target


@pytest.mark.parametrize("case", ["basic_entangling", *thorough(["hqconv 4", "hqconv 8"])])
def test_twirled_noise_is_near_aers_device_noise(
    case: str, fez: Target, rng: np.random.Generator
) -> None:
    """Far nearer than the values without noise are: what is lost is the drift towards |0>."""
    variational, without_waiting, with_waiting = CASES[case]
    circuit, qubits, layout = lowered(variational, fez, rng)
    noise = DeviceNoise(fez)
    small = restricted_target(fez, qubits)
    observables = [o.apply_layout(layout, circuit.num_qubits) for o in variational.observables]
    confusion = {qubit: noise.confusion(qubits[qubit]) for qubit in layout}
    read = [with_readout_error(o, confusion) for o in observables]
    perfect = trajectory_values(circuit, [], observables)
    for idling, tolerance in ((False, without_waiting), (True, with_waiting)):
        noisy = with_device_noise(circuit, noise, qubits, idling=idling)
        found = twirled_values(noisy, read)
        expected = device_values(circuit, small, observables, idling=idling)
        assert np.abs(found - expected).max() < tolerance
        assert np.abs(perfect - expected).max() > 2 * np.abs(found - expected).max()


def lowered(
    variational: VariationalCircuit, target: Target, rng: np.random.Generator
) -> tuple[QuantumCircuit, tuple[int, ...], list[int]]:
    """A bound circuit on the qubits in use, which they are, and where logical qubits end."""
    weights = rng.random(variational.num_weights)
    found = lower(variational, target, weights=weights, seeds=[0])
    circuit, layout = found.compact()
    inputs = rng.normal(size=circuit.num_parameters)
    return circuit.assign_parameters(inputs), found.qubits, list(layout)


def test_waiting_times_are_those_of_qiskits_schedule(fez: Target, rng: np.random.Generator) -> None:
    variational = CASES["basic_entangling"][0]
    circuit, qubits, _ = lowered(variational, fez, rng)
    waits = waiting_times(circuit, DeviceNoise(fez), qubits)
    found = np.zeros(circuit.num_qubits)
    for instruction, gaps in zip(circuit.data, waits, strict=True):
        for bit, seconds in zip(instruction.qubits, gaps, strict=True):
            found[circuit.find_bit(bit).index] += seconds
    padded = without_first_delays(scheduled(circuit, restricted_target(fez, qubits)))
    expected = np.zeros(circuit.num_qubits)
    for item in padded.data:
        if isinstance(item.operation, Delay):
            expected[padded.find_bit(item.qubits[0]).index] += item.operation.duration * fez.dt
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.max() > 1e-7


def test_sites_follow_two_qubit_gates(fez: Target) -> None:
    """The noise of single-qubit gates joins theirs, or strikes ahead of the first one."""
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(0.3, 0)
    circuit.sx(0)
    circuit.barrier()
    circuit.cz(1, 0)
    circuit.sx(1)
    noise = DeviceNoise(fez)
    noisy = with_device_noise(circuit, noise, [8, 7], idling=False)
    names = [item.operation.name for item in noisy.circuit.data]
    site = ErrorSite().name
    assert names == ["sx", "rz", "sx", "barrier", site, "cz", site, site, "sx"]
    assert site_qubits(noisy.circuit) == [0, 1, 0]
    assert [location.sites for location in noisy.locations] == [(0,), (1, 2)]
    first, second, pair = (
        noise.after("sx", (8,)),
        noise.after("sx", (7,)),
        noise.after("cz", (7, 8)),
    )
    assert first is not None
    assert second is not None
    assert pair is not None
    np.testing.assert_allclose(noisy.locations[0].channel.fidelities, first.fidelities**2)
    joined = pair.then(second.on([0], 2))
    np.testing.assert_allclose(noisy.locations[1].channel.fidelities, joined.fidelities)


def test_gathering_single_qubit_noise_hardly_matters(fez: Target, rng: np.random.Generator) -> None:
    variational = CASES["hqconv 4"][0]
    circuit, qubits, layout = lowered(variational, fez, rng)
    noise = DeviceNoise(fez)
    observables = [o.apply_layout(layout, circuit.num_qubits) for o in variational.observables]
    gathered = twirled_values(with_device_noise(circuit, noise, qubits, idling=False), observables)
    separate = circuit.copy_empty_like()
    locations: list[FaultLocation] = []
    sites = 0
    for item in circuit.data:
        separate.append(item)
        channel = noise_after(item, circuit, noise, qubits, ())
        if channel is not None:
            for qubit in item.qubits:
                separate.append(ErrorSite(), [qubit])
            locations.append(FaultLocation(tuple(range(sites, sites + len(item.qubits))), channel))
            sites += len(item.qubits)
    expected = twirled_values(NoisyCircuit(separate, sites, tuple(locations)), observables)
    np.testing.assert_allclose(gathered, expected, atol=1e-3)


def test_delays_wait_and_hold_others_up(fez: Target) -> None:
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    circuit.delay(2, 1, unit="us")
    circuit.cz(0, 1)
    noise = DeviceNoise(fez)
    waits = waiting_times(circuit, noise, [7, 8])
    assert waits == [[pytest.approx(2e-6), 0.0], [pytest.approx(2e-6)], [0.0, 0.0]]
    noisy = with_device_noise(circuit, noise, [7, 8])
    pair, first, second = noise.after("cz", (7, 8)), noise.idling(7, 2e-6), noise.idling(8, 2e-6)
    assert pair is not None
    assert first is not None
    assert second is not None
    expected = pair.then(first.on([0], 2)).then(second.on([1], 2))
    np.testing.assert_allclose(noisy.locations[0].channel.fidelities, expected.fidelities)
    np.testing.assert_allclose(noisy.locations[1].channel.fidelities, pair.fidelities)


def test_noise_does_not_move_past_a_two_qubit_gate_without_any() -> None:
    target = Target(num_qubits=2)
    target.add_instruction(SXGate(), {(q,): InstructionProperties(error=0.01) for q in (0, 1)})
    target.add_instruction(CZGate(), {(0, 1): None})
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.sx(0)
    noisy = with_device_noise(circuit, DeviceNoise(target), [0, 1])
    site = ErrorSite().name
    names = [item.operation.name for item in noisy.circuit.data]
    assert names == ["sx", site, "cz", "sx", site]


def test_a_circuit_on_perfect_gates_has_no_sites() -> None:
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    target = Target.from_configuration(["cx", "rz", "sx"], num_qubits=2)
    noisy = with_device_noise(circuit, DeviceNoise(target), [0, 1])
    assert noisy.num_sites == 0
    assert noisy.locations == ()
