import math

import numpy as np
import pytest
from device_noise_checks import TargetBackend
from qiskit.circuit import Delay, Measure, Parameter
from qiskit.circuit.library import CZGate, RZGate, SXGate
from qiskit.providers import QubitProperties
from qiskit.transpiler import InstructionProperties, Target
from qiskit_aer.noise import NoiseModel, ReadoutError
from qiskit_ibm_runtime.fake_provider import FakeFez

from qhybrid_circuits import CircuitError
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime.device_noise.channels import PauliChannel
from qhybrid_runtime.device_noise.device_noise import DeviceNoise


@pytest.fixture(scope="module")
def target() -> Target:
    return restricted_target(FakeFez().target, [3, 4, 5, 16])


def test_gate_noise_is_the_twirl_of_aers_device_model(target: Target) -> None:
    noise = DeviceNoise(target)
    model = NoiseModel.from_backend(TargetBackend(target))
    compared = 0
    for name, errors in model._local_quantum_errors.items():
        if name in ("cz", "sx", "x"):
            for qubits, error in errors.items():
                found = noise.after(name, qubits)
                assert found is not None
                expected = PauliChannel.twirled(error)
                np.testing.assert_allclose(found.fidelities, expected.fidelities, atol=1e-12)
                compared += 1
    assert compared == 2 * 3 + 4 + 4


def test_readout_is_that_of_aers_device_model(target: Target) -> None:
    noise = DeviceNoise(target)
    model = NoiseModel.from_backend(TargetBackend(target))
    for qubit in range(4):
        expected: ReadoutError = model._local_readout_errors[(qubit,)]
        np.testing.assert_allclose(noise.confusion(qubit), expected.probabilities)


def test_virtual_gates_have_no_noise_and_take_no_time(target: Target) -> None:
    noise = DeviceNoise(target)
    assert noise.after("rz", (2,)) is None
    assert noise.duration("rz", (2,)) == 0
    assert noise.duration("cz", (0, 1)) == target["cz"][0, 1].duration


def test_gates_that_the_target_lacks_are_named(target: Target) -> None:
    noise = DeviceNoise(target)
    with pytest.raises(CircuitError, match=r"Gate 'cz' on qubits \[0, 2\].*lower"):
        noise.after("cz", (0, 2))
    with pytest.raises(CircuitError, match="Gate 'ecr'"):
        noise.duration("ecr", (0, 1))


def test_waiting_relaxes_by_the_qubits_own_times(target: Target) -> None:
    times = target.qubit_properties[1]
    found = DeviceNoise(target).idling(1, 2e-6)
    assert found is not None
    assert found.fidelities[3] == pytest.approx(math.exp(-2e-6 / times.t1))
    assert found.fidelities[1] == pytest.approx(math.exp(-2e-6 / min(times.t2, 2 * times.t1)))
    assert DeviceNoise(target).idling(1, 0.0) is None


def test_what_a_target_does_not_tell_is_free_of_noise() -> None:
    bare = Target(num_qubits=2, qubit_properties=[QubitProperties(), QubitProperties(t1=1e-4)])
    bare.add_instruction(CZGate(), {(0, 1): None})
    bare.add_instruction(SXGate(), {(0,): InstructionProperties(error=0.01), (1,): None})
    bare.add_instruction(RZGate(Parameter("a")))
    noise = DeviceNoise(bare)
    assert noise.after("cz", (0, 1)) is None
    assert noise.after("rz", (1,)) is None
    assert noise.idling(0, 1e-6) is None
    assert noise.idling(1, 1e-6) is not None
    np.testing.assert_array_equal(noise.confusion(0), np.eye(2))
    error = noise.after("sx", (0,))
    assert error is not None
    # An average gate infidelity e of one qubit is an error probability of 3e/2.
    assert error.error_probability == pytest.approx(0.015)
    bare.add_instruction(Measure(), {(0,): InstructionProperties(error=0.02), (1,): None})
    np.testing.assert_allclose(DeviceNoise(bare).confusion(0), [[0.98, 0.02], [0.02, 0.98]])
    np.testing.assert_array_equal(DeviceNoise(bare).confusion(1), np.eye(2))


def test_delays_are_told_in_seconds(target: Target) -> None:
    noise = DeviceNoise(target)
    assert noise.delay_seconds(Delay(100, "dt")) == pytest.approx(100 * target.dt)
    assert noise.delay_seconds(Delay(1.5, "us")) == pytest.approx(1.5e-6)
    with pytest.raises(CircuitError, match="number of seconds"):
        noise.delay_seconds(Delay(Parameter("wait"), "s"))
    with pytest.raises(CircuitError, match="number of seconds"):
        DeviceNoise(Target(num_qubits=1)).delay_seconds(Delay(100, "dt"))
