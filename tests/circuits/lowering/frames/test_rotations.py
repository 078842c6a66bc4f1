import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, random_unitary

from qhybrid_circuits.ansatz import hqconv
from qhybrid_circuits.lowering.blocks.collect import collect_blocks
from qhybrid_circuits.lowering.frames.rotations import RotationCircuit, as_rotations


def rotations_of(circuit: QuantumCircuit) -> RotationCircuit | None:
    blocks = collect_blocks(circuit)
    assert blocks is not None
    return as_rotations(blocks)


def rebuilt(program: RotationCircuit) -> QuantumCircuit:
    circuit = QuantumCircuit(len(program.last))
    for qubit, operations in enumerate(program.first):
        for operation in operations:
            circuit.append(operation, [qubit])
    for rotation in program.rotations:
        if len(rotation.qubits) == 2:
            circuit.rzz(rotation.angle, *rotation.qubits)
        else:
            getattr(circuit, f"r{rotation.axis}")(rotation.angle, *rotation.qubits)
    for qubit, matrix in enumerate(program.last):
        circuit.append(UnitaryGate(matrix), [qubit])
        for operation in program.after[qubit]:
            circuit.append(operation, [qubit])
    return circuit


@pytest.mark.parametrize("seed", range(4))
def test_rotations_are_the_circuit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(Parameter(f"x{qubit}"), qubit)
    # No pair twice in a row, which would be one block of two interactions.
    for step in range(12):
        first, second = ((0, 1), (2, 3), (1, 2), (3, 0), (0, 2), (1, 3))[step % 6]
        circuit.append(UnitaryGate(random_unitary(2, seed=rng)), [first])
        gate = ("crz", "crx", "cry", "rxx", "rzz", "cp")[rng.integers(6)]
        getattr(circuit, gate)(rng.uniform(-6, 6), first, second)
        # Gates that turn Z round, and some that do not.
        getattr(circuit, ("x", "z", "s", "h")[rng.integers(4)])(second)
    circuit.rx(Parameter("y"), 2)
    program = rotations_of(circuit)
    assert program is not None
    values = rng.uniform(-3, 3, circuit.num_parameters)
    found = Operator(rebuilt(program).assign_parameters(values))
    assert found.equiv(Operator(circuit.assign_parameters(values)))


def test_controls_that_commute_have_only_z_between_them() -> None:
    circuit = QuantumCircuit(3)
    circuit.crx(0.3, 0, 1)
    circuit.x(0)
    circuit.crx(0.4, 0, 2)
    circuit.rz(0.2, 2)
    circuit.crx(0.5, 0, 2)
    circuit.ry(0.2, 2)
    circuit.crx(0.6, 1, 2)
    program = rotations_of(circuit)
    assert program is not None
    assert not [each for each in program.rotations if each.qubits == (0,) and each.axis == "x"]
    assert [each for each in program.rotations if each.qubits == (2,) and each.axis == "x"]


def test_a_layer_has_a_rotation_for_each_controlled_one() -> None:
    variational = hqconv()
    weights = np.random.default_rng(0).random(variational.num_weights)
    program = rotations_of(variational.bind_weights(weights))
    assert program is not None
    assert sum(len(each.qubits) == 2 for each in program.rotations) == 42


def test_other_blocks_are_not_written_so() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(UnitaryGate(random_unitary(4, seed=1)), [0, 1])
    assert rotations_of(circuit) is None
    circuit = QuantumCircuit(3)
    circuit.crx(0.3, 0, 1)
    circuit.rx(Parameter("x"), 1)
    circuit.crx(0.3, 1, 2)
    assert rotations_of(circuit) is None
