import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, random_unitary

from qhybrid_circuits.lowering.blocks.collect import BlockCircuit, collect_blocks, interaction_count
from qhybrid_circuits.lowering.blocks.condense import condensable, condense


def rebuilt(blocks: BlockCircuit) -> QuantumCircuit:
    circuit = QuantumCircuit(blocks.num_qubits, global_phase=blocks.global_phase)
    for block in blocks.blocks:
        for qubit, before in zip(block.qubits, block.before, strict=True):
            for operation in before:
                circuit.append(operation, [qubit])
        circuit.append(UnitaryGate(block.matrix), block.qubits)
    for qubit, operations in enumerate(blocks.after):
        for operation in operations:
            circuit.append(operation, [qubit])
    return circuit


def scrambled(seed: int, num_blocks: int = 12) -> QuantumCircuit:
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.rx(Parameter(f"x{qubit}"), qubit)
    circuit.h(0)
    for _ in range(num_blocks):
        pair = [int(q) for q in rng.permutation([0, 1, 3])[:2]]
        circuit.append(UnitaryGate(random_unitary(4, seed=rng)), pair)
    circuit.rz(Parameter("y"), 3)
    circuit.t(2)
    return circuit


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("fractional", "gates"), [(False, 14), (True, 11)])
def test_three_qubits_take_no_more_than_any_unitary(
    seed: int, fractional: bool, gates: int
) -> None:
    circuit = scrambled(seed)
    blocks = collect_blocks(circuit)
    assert blocks is not None
    indices = range(len(blocks.blocks))
    assert condensable(blocks, indices)
    short = condense(blocks, [indices], fractional)
    assert len(short.blocks) == gates
    assert [interaction_count(block.matrix, fractional) for block in short.blocks] == [1] * gates
    assert len({frozenset(block.qubits) for block in short.blocks}) == 2
    values = np.random.default_rng(seed).uniform(-3, 3, circuit.num_parameters)
    found = Operator(rebuilt(short).assign_parameters(values))
    assert found == Operator(circuit.assign_parameters(values))


@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_the_circuit(seed: int) -> None:
    circuit = scrambled(seed)
    blocks = collect_blocks(circuit)
    assert blocks is not None
    assert Operator(rebuilt(blocks).assign_parameters([0.3] * 5)) == Operator(
        circuit.assign_parameters([0.3] * 5)
    )


def test_unbound_parameters_between_blocks_cannot_be_condensed() -> None:
    circuit = QuantumCircuit(3)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.rx(Parameter("x"), 1)
    circuit.cx(0, 1)
    blocks = collect_blocks(circuit)
    assert blocks is not None
    assert not condensable(blocks, range(3))


def test_symbolic_gates_on_two_qubits_are_left_to_the_stock_passes() -> None:
    circuit = QuantumCircuit(2)
    circuit.crx(Parameter("x"), 0, 1)
    assert collect_blocks(circuit) is None


@pytest.mark.parametrize(
    ("name", "cz", "rzz"), [("cz", 1, 1), ("cx", 1, 1), ("swap", 3, 3), ("iswap", 2, 2)]
)
def test_known_counts(name: str, cz: int, rzz: int) -> None:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(0, 1)
    matrix = Operator(circuit).data
    assert (interaction_count(matrix, False), interaction_count(matrix, True)) == (cz, rzz)


def test_a_controlled_rotation_takes_two_cz_or_one_rzz() -> None:
    circuit = QuantumCircuit(2)
    circuit.crz(0.7, 0, 1)
    circuit.crx(0.4, 0, 1)
    matrix = Operator(circuit).data
    assert (interaction_count(matrix, False), interaction_count(matrix, True)) == (2, 1)
    assert (interaction_count(np.eye(4), False), interaction_count(np.eye(4), True)) == (0, 0)
