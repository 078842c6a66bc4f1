"""A circuit of controlled rotations as rotations about Pauli operators."""

import math
from dataclasses import dataclass

import numpy as np
from qiskit.circuit import Operation
from qiskit.synthesis import TwoQubitWeylDecomposition

from qhybrid_circuits.lowering.blocks.collect import BlockCircuit, Matrix

#: Angles below this are zero, in radians.
_NO_ROTATION = 1e-9

_X: Matrix = np.array([[0, 1], [1, 0]], dtype=complex)
_HADAMARD: Matrix = np.array([[1, 1], [1, -1]], dtype=np.complex128) * math.sqrt(0.5)


@dataclass(frozen=True)
class Rotation:
    """exp(-i angle/2 P).

    Attributes:
        qubits: On which P acts: one, or two for Z on both.
        axis: "x" or "z".
        angle: Radians.
    """

    qubits: tuple[int, ...]
    axis: str
    angle: float

    @property
    def is_clifford(self) -> bool:
        """Whether this is a gate like cz, up to gates on one qubit."""
        return len(self.qubits) == 2 and abs(abs(self.angle) - math.pi / 2) < _NO_ROTATION


@dataclass
class RotationCircuit:
    """Rotations in order, up to a global phase.

    Attributes:
        first: Gates with unbound parameters before everything else on each qubit.
        rotations: In an order in which they can be executed; they never act before `first`.
        last: One-qubit matrix of each qubit after its rotations.
        after: Gates with unbound parameters at the end of each qubit.
    """

    first: list[list[Operation]]
    rotations: list[Rotation]
    last: list[Matrix]
    after: list[list[Operation]]


def as_rotations(blocks: BlockCircuit) -> RotationCircuit | None:
    """Write every block as a ZZ rotation, with X and Z rotations between.

    Returns:
        The rotations; None where a block is more than one controlled rotation, or where gates with
        unbound parameters stand between blocks.
    """
    loose: list[Matrix] = [np.eye(2, dtype=complex) for _ in range(blocks.num_qubits)]
    first: list[list[Operation]] = [[] for _ in loose]
    seen: set[int] = set()
    rotations: list[Rotation] = []
    for block in blocks.blocks:
        for qubit, operations in zip(block.qubits, block.before, strict=True):
            if operations and qubit in seen:
                return None
            first[qubit] += operations
            seen.add(qubit)
        weyl = TwoQubitWeylDecomposition(block.matrix, fidelity=None)
        if max(abs(weyl.b), abs(weyl.c)) > _NO_ROTATION:
            return None
        # exp(i a XX) between its local gates; Hadamard gates make it ZZ.
        angle = -2.0 * weyl.a
        before = (_HADAMARD @ weyl.K2r, _HADAMARD @ weyl.K2l)
        after = [weyl.K1r @ _HADAMARD, weyl.K1l @ _HADAMARD]
        for position, qubit in enumerate(block.qubits):
            matrix = before[position] @ loose[qubit]
            if abs(matrix[0, 0]) < _NO_ROTATION:
                # X turns the sign of ZZ, and stands after it as well as before it.
                matrix, after[position] = _X @ matrix, after[position] @ _X
                angle = -angle
            rotations += _euler(matrix, qubit)
            loose[qubit] = after[position]
        rotations.append(Rotation(block.qubits, "z", angle))
    return RotationCircuit(first, rotations, loose, blocks.after)


def _euler(matrix: Matrix, qubit: int) -> list[Rotation]:
    """Return a one-qubit unitary as rotations about Z, X and Z, those that are none left out."""
    middle = 2.0 * math.atan2(abs(matrix[1, 0]), abs(matrix[0, 0]))
    if middle < _NO_ROTATION:
        turn = float(np.angle(matrix[1, 1]) - np.angle(matrix[0, 0]))
        return [Rotation((qubit,), "z", turn)]
    # The quotients are -i tan(middle/2) exp(i angle).
    before = float(np.angle(1j * matrix[0, 1] / matrix[0, 0]))
    after = float(np.angle(1j * matrix[1, 0] / matrix[0, 0]))
    turns = (("z", before), ("x", middle), ("z", after))
    return [Rotation((qubit,), axis, angle) for axis, angle in turns]
