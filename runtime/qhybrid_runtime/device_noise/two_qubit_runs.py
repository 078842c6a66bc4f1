from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rustworkx
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier
from qiskit.quantum_info import Operator
from qiskit.synthesis.two_qubit.local_invariance import two_qubit_local_invariants

_SWAP = np.eye(4)[[0, 2, 1, 3]]

#: Synthesis reaches unitaries to about this, and so do their invariants.
_CLOSE = 1e-4


@dataclass(frozen=True, eq=False)
class GateRun:
    """Gates on one pair of qubits that no other two-qubit gate of either comes between.

    Attributes:
        qubits: The pair, ascending.
        members: Numbers of the gates among the circuit's instructions, ascending; single-qubit
            gates only where they are between two-qubit gates.
        unitary: The unitary of all gates, shape (4, 4); `qubits[0]` is the least significant bit.
    """

    qubits: tuple[int, int]
    members: tuple[int, ...]
    unitary: np.ndarray

    @property
    def is_local(self) -> bool:
        """Whether single-qubit gates can do the same."""
        return locally_equal(self.unitary, np.eye(4))


def locally_equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two-qubit unitaries differ by single-qubit gates only.

    The invariants are those of Makhlin (quant-ph/0002045).
    """
    difference = two_qubit_local_invariants(first) - two_qubit_local_invariants(second)
    return bool(np.abs(difference).max() < _CLOSE)


def swapped(unitary: np.ndarray) -> np.ndarray:
    """Return a two-qubit unitary followed by a swap."""
    return np.asarray(_SWAP @ unitary)


def two_qubit_runs(circuit: QuantumCircuit) -> list[GateRun]:
    """Return the runs of a circuit without parameters and of gates of at most two qubits.

    They are in an order in which they may act.
    """
    members: list[list[int]] = []
    pairs: list[tuple[int, int]] = []
    last = [-1] * circuit.num_qubits
    single: list[list[int]] = [[] for _ in range(circuit.num_qubits)]
    for number, instruction in enumerate(circuit.data):
        qubits = sorted(circuit.find_bit(bit).index for bit in instruction.qubits)
        if isinstance(instruction.operation, Barrier) or not qubits:
            continue
        if len(qubits) == 1:
            single[qubits[0]].append(number)
            continue
        first, second = qubits
        run = last[first]
        if run < 0 or run != last[second]:
            run = len(pairs)
            pairs.append((first, second))
            members.append([])
        else:
            members[run] += single[first] + single[second]
        members[run].append(number)
        for qubit in qubits:
            last[qubit], single[qubit] = run, []
    return [
        GateRun(pair, tuple(sorted(gates)), _unitary(circuit, pair, sorted(gates)))
        for pair, gates in zip(pairs, members, strict=True)
    ]


def connected_qubits(circuit: QuantumCircuit) -> list[list[int]]:
    """Return the qubits that gates connect, ascending in each part, parts by their first qubits."""
    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(circuit.num_qubits))
    for item in circuit.data:
        if not isinstance(item.operation, Barrier):
            qubits = [circuit.find_bit(bit).index for bit in item.qubits]
            graph.add_edges_from([(qubits[0], other, None) for other in qubits[1:]])
    return [sorted(part) for part in rustworkx.connected_components(graph)]


def _unitary(circuit: QuantumCircuit, pair: tuple[int, int], members: Sequence[int]) -> np.ndarray:
    part = QuantumCircuit(2)
    for number in members:
        instruction = circuit.data[number]
        places = [pair.index(circuit.find_bit(bit).index) for bit in instruction.qubits]
        part.append(instruction.operation, places)
    return np.asarray(Operator(part).data)
