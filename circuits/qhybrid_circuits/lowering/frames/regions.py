"""The rotations of one star, as the search for frames and the writer of gates take them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from qhybrid_circuits.lowering.blocks.collect import Matrix, side_by_side
from qhybrid_circuits.lowering.frames.pauli_frames import (
    BITS,
    Event,
    FrameProblem,
    anticommute,
    own_operators,
    pauli,
)
from qhybrid_circuits.lowering.frames.rotations import Rotation
from qhybrid_circuits.lowering.frames.stars import Star

#: By whether X and Z are parts of it.
PAULIS: dict[tuple[int, int], Matrix] = {
    (0, 0): np.eye(2, dtype=complex),
    (1, 0): np.array([[0, 1], [1, 0]], dtype=complex),
    (1, 1): np.array([[0, -1j], [1j, 0]]),
    (0, 1): np.diag([1.0 + 0j, -1.0]),
}


@dataclass(frozen=True)
class Region:
    """A star with its rotations.

    Attributes:
        star: Where.
        problem: What the search has to know.
        angles: Of each event, in radians; the operator's sign where it goes beyond the star.
        signs: Of the operators in `problem.home`.
        outside: For each event the rotation's number if it goes beyond the star, else -1.
    """

    star: Star
    problem: FrameProblem
    angles: tuple[float, ...]
    signs: tuple[int, ...]
    outside: tuple[int, ...]


def region_of(star: Star, rotations: Sequence[Rotation], fractional: bool) -> Region:
    """Collect a star's rotations; those about one operator with nothing between become one.

    Clifford gates are moved to the end, through the rotations, whose operators they turn.
    """
    number = {qubit: index for index, qubit in enumerate(star.qubits)}
    size = len(star.vertices)
    clifford = _Clifford(size)
    events: list[Event] = []
    angles: list[float] = []
    outside: list[int] = []
    for index, rotation in enumerate(rotations):
        mask = sum(1 << number[qubit] for qubit in rotation.qubits if qubit in number)
        if not mask:
            continue
        meeting = star.meets.get((min(rotation.qubits), max(rotation.qubits)), -1)
        sign, operator = clifford.pulled(pauli(mask) if rotation.axis == "x" else pauli(0, mask))
        if meeting < 0 and rotation.is_clifford:
            clifford.add(operator, sign * rotation.angle)
            continue
        former = -1 if meeting >= 0 else _same(events, operator)
        if former >= 0:
            angles[former] += sign * rotation.angle
            continue
        events.append(Event(operator, meeting))
        angles.append(sign * (1.0 if meeting >= 0 else rotation.angle))
        outside.append(index if meeting >= 0 else -1)
    idle = pauli(0, 1 << len(star.qubits)) if size > len(star.qubits) else 0
    signs, home = zip(*map(clifford.pulled, own_operators(size)), strict=True)
    problem = FrameProblem(size, star.edges, tuple(events), home, idle, fractional)
    return Region(star, problem, tuple(angles), signs, tuple(outside))


class _Clifford:
    """Clifford gates that are moved to the end of a circuit of `size` qubits."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.matrix: Matrix = np.eye(1 << size, dtype=complex)

    def add(self, operator: int, angle: float) -> None:
        """Add exp(-i angle/2 P), with P as it is after this."""
        self.matrix = self.matrix @ turned(dense(operator, self.size), angle)

    def pulled(self, operator: int) -> tuple[int, int]:
        """Return the sign and the operator that P becomes when the gates move from before it."""
        image = self.matrix.conj().T @ dense(operator, self.size) @ self.matrix
        x = int(np.abs(image[:, 0]).argmax())
        bits = [1 << qubit for qubit in range(self.size)]
        flips = [bit for bit in bits if (image[x ^ bit, bit] / image[x, 0]).real < 0]
        found = pauli(x, sum(flips))
        sign = np.vdot(dense(found, self.size), image).real
        return (1 if sign > 0 else -1), found


def _same(events: Sequence[Event], operator: int) -> int:
    """Return the event that a rotation can be merged with, -1 if there is none."""
    for index in reversed(range(len(events))):
        if events[index] == Event(operator):
            return index
        if anticommute(events[index].operator, operator):
            break
    return -1


@cache
def dense(operator: int, size: int) -> Matrix:
    """Return a Pauli operator's matrix on `size` qubits."""
    on = {k: PAULIS[operator >> k & 1, operator >> (BITS + k) & 1] for k in range(size)}
    return side_by_side(on, size)


def turned(operator: Matrix, angle: float) -> Matrix:
    """Return exp(-i angle/2 P)."""
    return np.asarray(np.cos(angle / 2) * np.eye(len(operator)) - 1j * np.sin(angle / 2) * operator)
