"""Which entries of a gate's matrix can be other than zero, and what the gate costs for it.

Few gates fill their matrix: RXX only mixes |00> with |11> and |01> with |10>, CRZ has a diagonal,
SWAP moves amplitudes. So a matrix is the direct sum of small parts, each on some of its rows, and a
part whose entries are real or imaginary takes half of the work of a complex one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache, reduce

import numpy as np

from qhybrid_runtime.engine.gates import gate_series
from qhybrid_runtime.engine.program import Operation


class Kind(IntEnum):
    """What a part does to its amplitudes; each is a kernel of its own."""

    PHASE = 0  # One amplitude, times a number.
    EXCHANGE = 1  # Two amplitudes, each in the place of the other.
    REAL = 2  # Two amplitudes, times a real matrix (RY).
    CROSS = 3  # Two amplitudes, times a matrix with a real diagonal and an imaginary rest (RX).
    PAIR = 4  # Two amplitudes, times any matrix.
    DENSE = 5  # More than two amplitudes.
    PAULI = 6  # Two amplitudes, and a Pauli operator of each sample's own.


#: Multiply-adds and stores that a part of a matrix takes, forward and back, for each set of
#: amplitudes that it acts on; what a dense part takes is quadratic in its size.
_COSTS = {Kind.PHASE: 18, Kind.EXCHANGE: 12, Kind.REAL: 40, Kind.CROSS: 40, Kind.PAIR: 72}
_DENSE_COST = 18

#: What rounding leaves of a zero in a product of unitary matrices.
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Part:
    """Rows of a matrix that mix among themselves only."""

    kind: Kind
    rows: tuple[int, ...]

    @property
    def entries(self) -> tuple[tuple[int, int, bool], ...]:
        """Return row, column and whether it is the imaginary part of each number kernels take."""
        if self.kind == Kind.EXCHANGE:
            return ()
        pairs = [(row, column) for row in self.rows for column in self.rows]
        if self.kind in (Kind.REAL, Kind.CROSS):
            cross = self.kind == Kind.CROSS
            return tuple((row, column, cross and row != column) for row, column in pairs)
        return tuple((row, column, part) for row, column in pairs for part in (False, True))


@dataclass(frozen=True)
class Pattern:
    """Where a matrix can have entries."""

    real: np.ndarray  # Where it can have a real part, bool (D, D).
    imaginary: np.ndarray  # Where it can have an imaginary part, bool (D, D).
    constant: np.ndarray | None  # The matrix (D, D) itself, where it depends on nothing.
    idle: np.ndarray  # The rows on which it does nothing, bool (D,).

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts that do something."""
        linked = self.real | self.imaginary
        linked = linked | linked.T
        left = set(np.flatnonzero(~self.idle).tolist())
        parts = []
        while left:
            rows, found = set(), {min(left)}
            while found:
                rows |= found
                found = set(np.flatnonzero(linked[list(rows)].any(axis=0)).tolist()) - rows
            left -= rows
            parts.append(self._part(tuple(sorted(rows))))
        return tuple(parts)

    def _part(self, rows: tuple[int, ...]) -> Part:
        if len(rows) != 2:
            return Part(Kind.PHASE if len(rows) == 1 else Kind.DENSE, rows)
        square = np.ix_(rows, rows)
        constant = None if self.constant is None else self.constant[square]
        diagonal = np.eye(2, dtype=bool)
        if constant is not None and np.array_equal(constant, ~diagonal):
            return Part(Kind.EXCHANGE, rows)
        real, imaginary = self.real[square], self.imaginary[square]
        if not imaginary.any():
            return Part(Kind.REAL, rows)
        if not imaginary[diagonal].any() and not real[~diagonal].any():
            return Part(Kind.CROSS, rows)
        return Part(Kind.PAIR, rows)

    @property
    def cost(self) -> float:
        """Return the work per amplitude, in multiply-adds of real numbers."""
        total = sum(_COSTS.get(p.kind, _DENSE_COST * len(p.rows) ** 2) for p in self.parts)
        return total / len(self.idle)


def pattern_of(operations: Sequence[Operation], targets: Sequence[int]) -> Pattern:
    """Return the pattern of the product of operations, as a matrix on `targets`.

    The first target is bit 0 of a row index. Controls that are not targets are those of the whole
    block.
    """
    patterns = (_spread(operation, targets) for operation in operations)
    return reduce(lambda product, pattern: _multiplied(pattern, product), patterns)


def embedding(operation: Operation, targets: Sequence[int]) -> np.ndarray:
    """Return how an operation's matrix is spread over one on `targets`, not to be written to.

    It is for each entry (D, D) the entry of the flattened gate matrix, -1 for zero, -2 for one.
    """
    place = {qubit: bit for bit, qubit in enumerate(targets)}
    return _embedding(
        tuple(place[qubit] for qubit in operation.targets),
        tuple(place.get(qubit, -1) for qubit in operation.controls),
        operation.control_state,
        len(targets),
    )


@lru_cache(maxsize=1024)
def _embedding(
    places: tuple[int, ...], controls: tuple[int, ...], control_state: int, num_qubits: int
) -> np.ndarray:
    index = np.arange(1 << num_qubits)
    small = np.zeros_like(index)
    for bit, place in enumerate(places):
        small |= ((index >> place) & 1) << bit
    active = np.ones(len(index), dtype=bool)
    for bit, place in enumerate(controls):
        if place >= 0:
            active &= ((index >> place) & 1) == (control_state >> bit & 1)
    idle = index & ~sum(1 << place for place in places)
    inside = np.where(idle[:, None] == idle, (small[:, None] << len(places)) + small, -1)
    outside = np.where(np.eye(len(index), dtype=bool), -2, -1)
    return np.where(active[:, None], inside, outside)


def _spread(operation: Operation, targets: Sequence[int]) -> Pattern:
    entry = embedding(operation, targets)
    if operation.matrix is not None:
        flat = np.append(operation.matrix.reshape(-1), [1, 0])
        # -1 and -2 are the last two entries: zero, and one.
        return _of_constant(flat[entry])
    series = gate_series(str(operation.base))
    real, imaginary, ones = (
        np.append(mask.reshape(-1), [end, False])[entry]
        for mask, end in zip((*series.parts, series.ones), (True, False, True), strict=True)
    )
    # A row is idle where it, and the column, hold nothing but a one on the diagonal.
    there = real | imaginary
    alone = (there.sum(axis=0) == 1) & (there.sum(axis=1) == 1)
    return Pattern(real, imaginary, None, alone & ones.diagonal())


def _of_constant(matrix: np.ndarray) -> Pattern:
    # Products of Qiskit's constants are exact to rounding; what is smaller is a zero.
    real, imaginary = (np.where(np.abs(x) < _ROUNDING, 0, x) for x in (matrix.real, matrix.imag))
    matrix = real + 1j * imaginary
    other = matrix != np.eye(len(matrix))
    idle = ~(other.any(axis=0) | other.any(axis=1))
    return Pattern(matrix.real != 0, matrix.imag != 0, matrix, idle)


def _multiplied(left: Pattern, right: Pattern) -> Pattern:
    if left.constant is not None and right.constant is not None:
        return _of_constant(left.constant @ right.constant)
    real = (left.real @ right.real) | (left.imaginary @ right.imaginary)
    imaginary = (left.real @ right.imaginary) | (left.imaginary @ right.real)
    return Pattern(real, imaginary, None, left.idle & right.idle)
