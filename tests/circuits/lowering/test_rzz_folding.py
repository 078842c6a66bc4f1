import math
import subprocess
import sys

import numpy as np
import pytest
from qiskit.circuit import Measure, Parameter, QuantumCircuit
from qiskit.circuit.library import RXGate, RZGate, RZZGate, SXGate, XGate
from qiskit.converters import dag_to_circuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from qiskit.transpiler import Target

from qhybrid_circuits import lower
from qhybrid_circuits.lowering.rzz_folding import fold_rzz


@pytest.mark.parametrize("angle", [*np.linspace(-7, 7, 29), math.pi, -math.pi / 2, 0.0])
def test_folding_is_exact_and_in_range(angle: float) -> None:
    folded = dag_to_circuit(fold_rzz([angle], [0, 1]))
    exact = QuantumCircuit(2)
    exact.rzz(angle, 0, 1)
    assert Operator(folded) == Operator(exact)
    (inside,) = [item.operation.params[0] for item in folded.data if item.name == "rzz"]
    assert 0.0 <= inside <= math.pi / 2


def test_a_device_that_has_rzz_and_names_no_bounds_gets_angles_in_range() -> None:
    device = Target(num_qubits=3)
    for gate in (RXGate(Parameter("a")), RZGate(Parameter("a")), SXGate(), XGate(), Measure()):
        device.add_instruction(gate, {(q,): None for q in range(3)})
    device.add_instruction(RZZGate(Parameter("a")), {(0, 1): None, (1, 2): None})
    circuit = QuantumCircuit(3)
    for index, angle in enumerate((-0.4, 2.5, -2.5, 4.0)):
        circuit.h(index % 3)
        circuit.rzz(angle, 0, 1)
        circuit.rx(angle, 1)
        circuit.rzz(-angle, 1, 2)
        circuit.cx(0, 2)
    for fractional in (False, True):
        lowered = lower(circuit, device, fractional=fractional, cache=False)
        angles = [item.params[0] for item in lowered.circuit.data if item.name == "rzz"]
        assert angles
        assert all(0.0 <= angle <= math.pi / 2 for angle in angles)
        small, final = lowered.compact()
        observable = SparsePauliOp("XYZ")
        assert Statevector(small).expectation_value(
            observable.apply_layout(list(final), 3)
        ) == pytest.approx(Statevector(circuit).expectation_value(observable), abs=2e-6)


def test_the_registry_of_all_of_qiskit_stays_as_it_is() -> None:
    # In a process of its own: qiskit-ibm-runtime, which Qiskit's passes import, writes into it too.
    script = """
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.converters import circuit_to_dag
from qiskit.transpiler import generate_preset_pass_manager
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler.passes import WrapAngles

generate_preset_pass_manager(3)
asked = []
def rule(angles, qubits):
    asked.append(list(angles))
    return circuit_to_dag(QuantumCircuit(2))

WrapAngles.DEFAULT_REGISTRY.add_wrapper("rzz", rule)
from qhybrid_circuits import lower
circuit = QuantumCircuit(2)
circuit.rzz(-2.5, 0, 1)
target = GenericBackendV2(2, ["cz", "rz", "sx", "x"], seed=1).target
for round in range(2):
    lowered = lower(circuit, target, fractional=True, cache=False)
    assert "rzz" in lowered.circuit.count_ops()
    circuit.crx(Parameter(f"a{round}"), 0, 1)  # by Qiskit's own passes now
assert asked == [], asked
WrapAngles.DEFAULT_REGISTRY.substitute_angle_bounds("rzz", [4.0], [0, 1])
assert asked == [[4.0]], asked
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
