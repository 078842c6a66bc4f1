import math

import pytest
from qiskit.circuit import Measure, Parameter, QuantumCircuit
from qiskit.circuit.library import CZGate, RZGate, SXGate
from qiskit.quantum_info import Kraus, SuperOp, process_fidelity
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qhybrid_circuits import CircuitError, restricted_target, success_probability
from qhybrid_circuits.lowering.targets import with_fractional_gates

T1, T2 = 100e-6, 80e-6


def target(durations: bool = True, relaxation: bool = True) -> Target:
    qubits = [QubitProperties(t1=T1, t2=T2)] * 3 if relaxation else None
    device = Target(num_qubits=3, qubit_properties=qubits, dt=1e-9)

    def properties(error: float, duration: float) -> InstructionProperties:
        return InstructionProperties(error=error, duration=duration if durations else None)

    device.add_instruction(SXGate(), {(q,): properties(1e-3, 20e-9) for q in range(3)})
    device.add_instruction(RZGate(Parameter("a")), {(q,): properties(0.0, 0.0) for q in range(3)})
    device.add_instruction(
        CZGate(), {(0, 1): properties(5e-3, 70e-9), (1, 2): properties(6e-3, 80e-9)}
    )
    device.add_instruction(Measure(), {(q,): properties(1e-2 * (q + 1), 1e-6) for q in range(3)})
    return device


def test_gates_and_readout_multiply() -> None:
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.rz(0.3, 0)
    circuit.cz(0, 1)
    expected = (1 - 1e-3) * (1 - 5e-3) * (1 - 1e-2) * (1 - 2e-2)
    assert success_probability(circuit, target(), [0, 1]) == pytest.approx(expected)
    expected /= 1 - 2e-2
    assert success_probability(circuit, target(), [0]) == pytest.approx(expected)


def test_idling_counts_after_a_qubits_first_gate() -> None:
    circuit = QuantumCircuit(3)
    circuit.cz(0, 1)
    circuit.cz(1, 2)  # qubit 0 waits, qubit 2 has not begun
    gates = (1 - 5e-3) * (1 - 6e-3)
    found = success_probability(circuit, target(), [])
    assert found == pytest.approx(gates * relaxation_fidelity(80e-9), rel=1e-9)
    assert success_probability(circuit, target(relaxation=False), []) == pytest.approx(gates)
    assert success_probability(circuit, target(durations=False), []) == pytest.approx(gates)


def relaxation_fidelity(seconds: float) -> float:
    """Return the process fidelity of amplitude and phase damping, from their Kraus operators."""
    gamma = 1 - math.exp(-seconds / T1)
    dephasing = 1 - math.exp(-2 * seconds * (1 / T2 - 1 / (2 * T1)))
    amplitude = Kraus([[[1, 0], [0, math.sqrt(1 - gamma)]], [[0, math.sqrt(gamma)], [0, 0]]])
    phase = Kraus([[[1, 0], [0, math.sqrt(1 - dephasing)]], [[0, 0], [0, math.sqrt(dephasing)]]])
    return float(process_fidelity(SuperOp(amplitude).compose(SuperOp(phase))))


def test_what_is_not_known_is_none() -> None:
    device = Target.from_configuration(["cz", "sx", "rz"], num_qubits=2)
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    assert success_probability(circuit, device, [0]) is None
    no_measure = Target(num_qubits=3)
    no_measure.add_instruction(CZGate(), {(0, 1): InstructionProperties(error=0.1)})
    wide = QuantumCircuit(3)
    wide.cz(0, 1)
    assert success_probability(wide, no_measure, []) == pytest.approx(0.9)
    assert success_probability(wide, no_measure, [0]) is None


def test_a_broken_gate_leaves_no_chance() -> None:
    device = target()
    device.update_instruction_properties("cz", (0, 1), InstructionProperties(error=1.0))
    circuit = QuantumCircuit(3)
    circuit.cz(0, 1)
    assert success_probability(circuit, device, []) == 0.0


def test_a_restricted_target_is_the_same_device() -> None:
    part = restricted_target(target(), [2, 1])
    assert part.num_qubits == 2
    assert part["cz"][(1, 0)].error == 6e-3
    assert (0, 1) not in part["cz"]
    assert part["measure"][(0,)].error == pytest.approx(3e-2)
    assert part.qubit_properties[0].t1 == T1
    assert part.dt == 1e-9
    for wrong in ([0, 0], [5], []):
        with pytest.raises(CircuitError, match="between 0 and 2"):
            restricted_target(target(), wrong)


def test_fractional_gates_are_as_good_as_the_pairs_cz() -> None:
    device = with_fractional_gates(target())
    assert device["rzz"][(1, 2)].error == 6e-3
    assert device["rzz"][(0, 1)].duration == 70e-9
    assert device["rx"][(1,)].error == 1e-3
    assert device.supported_angle_bound("rzz", [0.1])
    assert not device.supported_angle_bound("rzz", [-0.1])
    assert with_fractional_gates(device) is device
    assert restricted_target(device, [0, 1]).gate_has_angle_bounds("rzz")
