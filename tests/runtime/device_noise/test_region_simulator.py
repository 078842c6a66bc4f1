import copy
import itertools

import numpy as np
import pytest
from device_circuits import pub_of, ring
from device_noise_checks import device_values
from qiskit import ClassicalRegister, QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

import qhybrid_runtime.device_noise.region_simulator as module
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
from qhybrid_runtime.hardware.targets import fake_target, uniform_target

SHOTS = 20_000

#: Four standard errors of a value of +-1, and what Pauli twirling changes at most.
TOLERANCE = 4 / SHOTS**0.5 + 0.003


def z_strings(num_qubits: int) -> list[SparsePauliOp]:
    """All of them: together they are the whole distribution of readings."""
    labels = ["".join(letters) for letters in itertools.product("IZ", repeat=num_qubits)]
    return [SparsePauliOp(label) for label in labels[1:]]


def sampled(simulator: RegionSimulator, circuit: QuantumCircuit, binds=None) -> np.ndarray:
    """Values of all Z strings (n_rows, 2**n - 1) of the bits that a circuit reads."""
    result = simulator.run(
        [circuit], [binds or {}], shots=SHOTS, seed_simulator=11, memory=True
    ).result()
    words = np.array([[int(word, 16) for word in entry.data.memory] for entry in result.results])
    signs = 1 - 2 * (words[..., None] >> np.arange(circuit.num_clbits) & 1)
    columns = []
    for observable in z_strings(circuit.num_clbits):
        columns.append(signs[..., observable.paulis.z[0]].prod(axis=-1).mean(axis=1))
    return np.stack(columns, axis=1)


def lowered_ring(target, qubits: int, seed: int) -> QuantumCircuit:
    rng = np.random.default_rng(seed)
    circuit, _, rows = pub_of(ring(qubits), rng.normal(size=(1, qubits)), rng.normal(size=qubits))
    bound = circuit.assign_parameters(rows[0])
    return transpile(bound, target=target, seed_transpiler=1, optimization_level=1)


@pytest.mark.parametrize("idling", [False, True])
@pytest.mark.parametrize(("device", "qubits"), [("fake_manila", (0, 1, 2)), ("fake_fez", (3, 4))])
def test_readings_are_those_of_aers_model_of_the_device(device, qubits, idling, seed) -> None:
    target = restricted_target(fake_target(device), qubits)
    circuit = lowered_ring(target, len(qubits), seed)
    expected = device_values(circuit, target, z_strings(len(qubits)), idling=idling)
    ideal = [Statevector(circuit).expectation_value(o).real for o in z_strings(len(qubits))]
    measured = circuit.copy()
    measured.measure_all()
    (actual,) = sampled(RegionSimulator(target, idling=idling), measured)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)
    # The device does err, or this would show nothing.
    assert np.abs(ideal - expected).max() > 0.01


def test_shared_trajectories_do_not_bias_the_values(monkeypatch, seed) -> None:
    target = restricted_target(fake_target("fake_manila"), (0, 1, 2))
    circuit = lowered_ring(target, 3, seed)
    expected = device_values(circuit, target, z_strings(3), idling=True)
    circuit.measure_all()
    monkeypatch.setattr(module, "_FEW_QUBITS", 0)
    (actual,) = sampled(RegionSimulator(target), circuit)
    np.testing.assert_allclose(actual, expected, atol=2 * TOLERANCE)


def test_regions_are_independent_and_keep_their_bits(monkeypatch) -> None:
    # Nine qubits in three entangled regions, read into two registers in a jumbled order.
    monkeypatch.setattr(module, "_FEW_QUBITS", 3)
    target = uniform_target(9, depolarizing=0.02, readout=0.02)
    circuit = QuantumCircuit(9)
    for first, angle in ((0, np.pi / 2), (3, np.pi), (6, 2.0)):
        circuit.ry(angle, first)
        circuit.cx(first, first + 1)
        circuit.cx(first, first + 2)
    circuit = transpile(circuit, target=target, optimization_level=0)
    late, early = ClassicalRegister(2, "late"), ClassicalRegister(3, "early")
    circuit.add_register(early, late)
    circuit.measure([3, 0, 8], early)
    circuit.measure([1, 6], late)
    (values,) = sampled(RegionSimulator(target), circuit)
    table = dict(
        zip(("".join(p) for p in itertools.product("IZ", repeat=5)), [1.0, *values], strict=True)
    )
    # Bits, last first: late 6, late 1, early 8, early 0, early 3.
    assert table["IIIIZ"] < -0.8
    assert abs(table["IIIZI"]) < 0.05
    assert table["IZIZI"] > 0.75
    assert table["ZIZII"] > 0.75
    assert table["ZZZZI"] == pytest.approx(table["ZIZII"] * table["IZIZI"], abs=0.04)
    assert table["IIIZZ"] == pytest.approx(table["IIIIZ"] * table["IIIZI"], abs=0.04)
    assert table["ZIIII"] == pytest.approx(np.cos(2.0), abs=0.1)


def test_every_row_of_parameters_has_its_own_values() -> None:
    target = uniform_target(2, depolarizing=0.02, readout=0.0)
    angles = ParameterVector("a", 2)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(angles[0], 0)
    circuit.sx(0)
    circuit.sx(1)
    circuit.rz(angles[1], 1)
    circuit.sx(1)
    circuit.measure_all()
    rows = np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 3.0]])
    simulator = RegionSimulator(target)
    values = sampled(simulator, circuit, {p: rows[:, i] for i, p in enumerate(angles)})
    # sx rz(a) sx turns |0> by a + pi about an axis of the equator.
    np.testing.assert_allclose(values[:, [0, 1]], -np.cos(rows), atol=0.05)


def test_shots_of_a_seed_repeat_and_those_of_another_do_not() -> None:
    target = uniform_target(2, depolarizing=0.1)
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.measure_all()
    simulator = RegionSimulator(target)

    def memory(which: RegionSimulator, seed: int) -> list[str]:
        return which.run([circuit], None, shots=50, seed_simulator=seed).result().get_memory(0)

    assert memory(simulator, 1) == memory(copy.deepcopy(simulator), 1) != memory(simulator, 2)


def test_a_device_full_of_circuits_takes_no_longer_than_its_parts() -> None:
    # As one state this would take 2**60 numbers.
    target = uniform_target(60, depolarizing=0.001, readout=0.01)
    circuit = QuantumCircuit(60)
    for first in range(0, 60, 4):
        circuit.sx(first)
        for qubit in range(first, first + 3):
            circuit.cz(qubit, qubit + 1)
    circuit.measure_all()
    result = RegionSimulator(target).run([circuit], None, shots=100, seed_simulator=1).result()
    assert len(result.results[0].data.memory) == 100
