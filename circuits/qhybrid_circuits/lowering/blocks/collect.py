from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation, QuantumCircuit
from qiskit.circuit.library import SwapGate, UnitaryGate
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitWeylDecomposition

Matrix = NDArray[np.complex128]

#: Weyl coordinates below this are zero: the interaction is not there.
_NO_INTERACTION = 1e-9

SWAP: Matrix = SwapGate().to_matrix()


@dataclass
class Block:
    """All gates on one pair of qubits until one of them interacts with a third.

    Attributes:
        qubits: The logical pair; the first is the less significant one in `matrix`.
        matrix: The block's unitary, 4x4.
        before: Gates with unbound parameters that stand before it, one list a qubit of the pair.
    """

    qubits: tuple[int, int]
    matrix: Matrix
    before: tuple[list[Operation], list[Operation]]

    def on(self, first: int) -> Matrix:
        """Return the matrix with `first` as the less significant qubit."""
        return self.matrix if self.qubits[0] == first else SWAP @ self.matrix @ SWAP


@dataclass
class BlockCircuit:
    """A circuit as two-qubit blocks and what must come before what.

    Attributes:
        num_qubits: Logical qubits.
        blocks: In an order in which they can be executed.
        after: What is left on each qubit after its last block.
        predecessors: For each block a bit mask of the blocks that must come before it. Blocks
            that commute are not ordered.
        global_phase: Radians.
    """

    num_qubits: int
    blocks: list[Block]
    after: list[list[Operation]]
    predecessors: list[int]
    global_phase: float


def collect_blocks(circuit: QuantumCircuit) -> BlockCircuit | None:
    """Merge a circuit's gates into two-qubit blocks.

    Returns:
        The blocks, or None where a gate on more than one qubit has unbound parameters, acts on more
        than two qubits, or is no unitary gate.
    """
    collector = BlockCollector(circuit.num_qubits)
    for item in circuit.data:
        operation = item.operation
        qubits = tuple(circuit.find_bit(bit).index for bit in item.qubits)
        if operation.name == "barrier":
            continue
        symbolic = any(getattr(value, "parameters", None) for value in operation.params)
        if item.clbits or len(qubits) > 2 or (symbolic and len(qubits) == 2):
            return None
        if symbolic:
            collector.add_symbolic(operation, qubits[0])
            continue
        matrix = _matrix(operation)
        if matrix is None:
            return None
        if len(qubits) == 1:
            collector.add_single(matrix, qubits[0])
        elif len(qubits) == 2:
            collector.add_pair(matrix, (qubits[0], qubits[1]))
    phase = circuit.global_phase
    return None if getattr(phase, "parameters", None) else collector.finish(float(phase))


def _matrix(operation: Operation) -> Matrix | None:
    """Return the matrix of an operation with numbers, None where it is no unitary gate."""
    try:
        try:
            return np.asarray(operation.to_matrix(), dtype=complex)
        except QiskitError:  # a gate that has only a definition
            return np.asarray(Operator(operation).data, dtype=complex)
    except (AttributeError, TypeError, ValueError, QiskitError):
        return None


class BlockCollector:
    """Builds a `BlockCircuit` from gates in their order."""

    def __init__(self, num_qubits: int) -> None:
        self.blocks: list[Block] = []
        self.open: list[Block | None] = [None] * num_qubits
        self.waiting: list[list[Operation]] = [[] for _ in range(num_qubits)]
        self.loose: list[Matrix | None] = [None] * num_qubits  # follows what is waiting

    def add_single(self, matrix: Matrix, qubit: int) -> None:
        block = self.open[qubit]
        if block is not None:
            block.matrix = widen(matrix, block.qubits.index(qubit)) @ block.matrix
            return
        former = self.loose[qubit]
        self.loose[qubit] = matrix if former is None else matrix @ former

    def add_symbolic(self, operation: Operation, qubit: int) -> None:
        self._settle(qubit)
        self.waiting[qubit].append(operation)
        self.open[qubit] = None

    def add_pair(self, matrix: Matrix, pair: tuple[int, int]) -> None:
        first, second = pair
        block = self.open[first]
        if block is None or block is not self.open[second]:
            block = Block(
                pair, np.eye(4, dtype=complex), (self.waiting[first], self.waiting[second])
            )
            for position, qubit in enumerate(pair):
                self.waiting[qubit] = []
                self.open[qubit] = block
                loose = self.loose[qubit]
                if loose is not None:
                    block.matrix = widen(loose, position) @ block.matrix
                    self.loose[qubit] = None
            self.blocks.append(block)
        block.matrix = (matrix if block.qubits == pair else SWAP @ matrix @ SWAP) @ block.matrix

    def _settle(self, qubit: int) -> None:
        loose = self.loose[qubit]
        if loose is not None:
            self.waiting[qubit].append(UnitaryGate(loose))
            self.loose[qubit] = None

    def finish(self, global_phase: float) -> BlockCircuit:
        for qubit in range(len(self.open)):
            self._settle(qubit)
        # A block opens where its first gate stands, and later gates on other pairs only wait for
        # it: the order of opening can be executed.
        order = _predecessors(self.blocks)
        return BlockCircuit(len(self.open), self.blocks, self.waiting, order, global_phase)


def widen(matrix: Matrix, position: int) -> Matrix:
    """Return a one-qubit matrix on a pair, 0 for the less significant qubit."""
    eye: Matrix = np.eye(2, dtype=complex)
    return kron(eye, matrix) if position == 0 else kron(matrix, eye)


def kron(high: Matrix, low: Matrix) -> Matrix:
    """Return the product of matrices on different qubits, `low` on the less significant ones."""
    return np.kron(high, low).astype(np.complex128, copy=False)


def side_by_side(on: Mapping[int, Matrix], size: int) -> Matrix:
    """Return the product of one-qubit matrices on some of `size` qubits, on all of them."""
    matrix, eye = np.eye(1, dtype=complex), np.eye(2, dtype=complex)
    for qubit in range(size):
        matrix = kron(on.get(qubit, eye), matrix)
    return matrix


def _predecessors(blocks: Sequence[Block]) -> list[int]:
    masks: list[int] = []
    for later, block in enumerate(blocks):
        mask = 0
        for earlier in range(later):
            shared = set(block.qubits) & set(blocks[earlier].qubits)
            if not shared:
                continue
            fixed = len(shared) == 2 or any(
                each.before[each.qubits.index(qubit)]
                for qubit in shared
                for each in blocks[earlier + 1 : later + 1]
                if qubit in each.qubits
            )
            if fixed or not _commute(blocks[earlier], block, shared.pop()):
                mask |= 1 << earlier
        masks.append(mask)
    return masks


def _commute(one: Block, other: Block, shared: int) -> bool:
    """Return whether both products of two blocks that share a qubit are the same."""
    # Tensor indices of a block: out own, out shared, in own, in shared.
    a = one.on(shared).reshape(2, 2, 2, 2)
    b = other.on(shared).reshape(2, 2, 2, 2)
    ab = np.einsum("asbt,ctdu->acsbdu", a, b)
    ba = np.einsum("csdt,atbu->acsbdu", b, a)
    return bool(np.abs(ab - ba).max() < 1e-10)


def interaction_count(matrix: Matrix, fractional: bool) -> int:
    """Return how many two-qubit gates a block takes: cz (or ecr, cx), or rzz if `fractional`."""
    weyl = TwoQubitWeylDecomposition(matrix, fidelity=None)
    a, b, c = abs(weyl.a), abs(weyl.b), abs(weyl.c)
    coordinates = sum(bool(value > _NO_INTERACTION) for value in (a, b, c))
    if fractional or coordinates == 0:
        return coordinates
    single = coordinates == 1 and abs(a - np.pi / 4) < _NO_INTERACTION
    return 1 if single else max(2, coordinates)
