import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import CXGate, CZGate, SwapGate, iSwapGate
from qiskit.quantum_info import Operator, random_unitary

from qhybrid_runtime.device_noise.two_qubit_runs import (
    connected_qubits,
    locally_equal,
    swapped,
    two_qubit_runs,
)


def test_runs_are_cut_where_another_gate_comes_between(rng: np.random.Generator) -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.crx(0.4, 0, 1)  # 1
    circuit.rz(0.2, 0)
    circuit.rx(0.7, 2)
    circuit.cz(1, 0)  # 4
    circuit.cx(1, 2)  # 5
    circuit.barrier()
    circuit.ry(0.1, 1)
    circuit.cx(0, 1)  # 8
    circuit.h(0)
    runs = two_qubit_runs(circuit)
    assert [run.qubits for run in runs] == [(0, 1), (1, 2), (0, 1)]
    assert [run.members for run in runs] == [(1, 2, 4), (5,), (8,)]


def test_a_runs_unitary_is_that_of_its_gates() -> None:
    circuit = QuantumCircuit(2)
    circuit.cry(0.4, 1, 0)
    circuit.rx(0.3, 1)
    circuit.cx(0, 1)
    (run,) = two_qubit_runs(circuit)
    np.testing.assert_allclose(run.unitary, Operator(circuit).data, atol=1e-12)
    np.testing.assert_allclose(
        swapped(run.unitary), Operator(SwapGate()).data @ Operator(circuit).data, atol=1e-12
    )


def test_local_equality_ignores_single_qubit_gates_only(seed: int) -> None:
    unitary = random_unitary(4, seed=seed).data
    local = np.kron(random_unitary(2, seed=seed + 1).data, random_unitary(2, seed=seed + 2).data)
    assert locally_equal(unitary, local @ unitary)
    assert locally_equal(CXGate().to_matrix(), CZGate().to_matrix())
    assert locally_equal(swapped(CZGate().to_matrix()), iSwapGate().to_matrix())
    assert not locally_equal(unitary, swapped(unitary))
    assert not locally_equal(CXGate().to_matrix(), np.eye(4))


def test_gates_that_undo_each_other_are_local() -> None:
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    (run,) = two_qubit_runs(circuit)
    assert run.is_local


def test_gates_connect_qubits_and_barriers_do_not() -> None:
    circuit = QuantumCircuit(6)
    circuit.cx(4, 1)
    circuit.cz(1, 4)
    circuit.ccx(5, 0, 2)
    circuit.h(3)
    circuit.barrier()
    assert connected_qubits(circuit) == [[0, 2, 5], [1, 4], [3]]
