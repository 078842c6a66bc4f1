"""How the coefficients that kernels need follow from a call's angles, as integer tables.

A wave is exp(i f.a) for some angles a and frequencies f; cosines and sines of all waves are all the
trigonometry there is. A value is a sum of waves, an entry of a gate's matrix is a value, a block's
matrix is the product of its gates' matrices, and coefficients are picked from those products.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qhybrid_runtime.statevector.fusion import Block, Plan
from qhybrid_runtime.statevector.gates import gate_series
from qhybrid_runtime.statevector.patterns import Part, embedding
from qhybrid_runtime.statevector.program import Operation

#: The values that entries are where a gate does nothing.
_ZERO, _ONE = 0, 1


@dataclass(frozen=True)
class Waves:
    """Waves of the angles of one table.

    Attributes:
        wave: The wave of each term f * a of an exponent, ascending by angle.
        angle: The column of the angle of each term.
        frequency: The factor of each term.
        count: Number of waves.
    """

    wave: np.ndarray
    angle: np.ndarray
    frequency: np.ndarray
    count: int

    def turns(self, angles: np.ndarray) -> np.ndarray:
        """Return the exponents (n_waves, ...) at angles (n_angles, ...)."""
        turns = np.zeros((self.count, *angles.shape[1:]), angles.dtype)
        # Most waves are of one angle.
        np.add.at(turns, self.wave, angles[self.angle] * self._factors(angles))
        return turns

    def pull_back(self, by_turns: np.ndarray, num_angles: int) -> np.ndarray:
        """Return the gradient by the angles (n_angles, ...) of one by the exponents."""
        by_angles = np.zeros((num_angles, *by_turns.shape[1:]), by_turns.dtype)
        np.add.at(by_angles, self.angle, by_turns[self.wave] * self._factors(by_turns))
        return by_angles

    def _factors(self, like: np.ndarray) -> np.ndarray:
        return self.frequency.astype(like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


@dataclass(frozen=True)
class Recipe:
    """The tables of a plan.

    Attributes:
        waves: The waves of angles that depend on weights alone, then those of the others; they
            count through both.
        values: Shape (n_values, 2): first and last + 1 row of each value in `terms`.
        terms: Shape (n_terms,): the wave of each term, -1 where it is constant.
        factors: Shape (n_terms, 2): real and imaginary part of the factor of each term.
        blocks: Shape (n_blocks, 5): rows D, first and last + 1 gate matrix, which are consecutive
            in `entries`, first and last + 1 row in `picks`.
        entries: The value of each entry of each gate matrix, D * D a gate.
        starts: Where the matrices of each block start in `entries`, shape (n_blocks,).
        picks: Shape (n_coefficients, 2): the coefficient, and the number within the block's product
            that it is, twice the entry and one more for the imaginary part.
        largest: Vectors that take all products of the largest block.
    """

    waves: tuple[Waves, Waves]
    values: np.ndarray
    terms: np.ndarray
    factors: np.ndarray
    blocks: np.ndarray
    entries: np.ndarray
    starts: np.ndarray
    picks: np.ndarray
    largest: int

    @property
    def tables(self) -> tuple[np.ndarray, ...]:
        """What the kernels take."""
        return (
            self.values,
            self.terms,
            self.factors,
            self.blocks,
            self.entries,
            self.starts,
            self.picks,
        )


class RecipeWriter:
    """Collects the coefficients that gates need; the start states of the qubits come first."""

    def __init__(self, plan: Plan) -> None:
        self._blocks: list[Block] = [
            Block((), 0, (qubit,), run) for qubit, run in enumerate(plan.starts)
        ]
        self._picks: list[list[tuple[int, int]]] = []
        for place in range(plan.num_qubits):
            # The first column of the matrix: what becomes of |0>.
            numbers = (0, 1, 4, 5)
            self._picks.append([(4 * place + i, number) for i, number in enumerate(numbers)])
        self._count = 4 * plan.num_qubits
        self._place = {}
        for index, block in enumerate(plan.blocks):
            self._place[index] = len(self._blocks)
            self._blocks.append(block)
            self._picks.append([])

    def pick(self, index: int, part: Part) -> int:
        """Return the first coefficient of a part of a block of the plan."""
        place = self._place[index]
        rows = 1 << len(self._blocks[place].targets)
        first = self._count
        for row, column, imaginary in part.entries:
            self._picks[place].append((self._count, 2 * (row * rows + column) + imaginary))
            self._count += 1
        return first

    def written(self) -> Recipe:
        """Return the tables."""
        numbers = _Values([op for block in self._blocks for op in block.operations])
        blocks: list[tuple[int, ...]] = []
        starts: list[int] = []
        picks: list[tuple[int, int]] = []
        entries: list[np.ndarray] = []
        position, largest = 0, 0
        for block, picked in zip(self._blocks, self._picks, strict=True):
            if not picked:
                continue
            rows = 1 << len(block.targets)
            indices = [numbers.index(op, block.targets) for op in block.operations]
            if not indices:
                indices = [np.where(np.eye(rows, dtype=bool), _ONE, _ZERO)]
            blocks.append((rows, 0, len(indices), len(picks), len(picks) + len(picked)))
            starts.append(position)
            picks += picked
            entries += [index.reshape(-1) for index in indices]
            position += len(indices) * rows * rows
            largest = max(largest, 2 * max(len(indices), 2) * rows * rows)
        return Recipe(
            waves=numbers.waves,
            values=np.array(numbers.values, dtype=np.int64),
            terms=np.array(numbers.terms, dtype=np.int64),
            factors=np.array(numbers.factors).reshape(-1, 2),
            blocks=np.array(blocks, dtype=np.int64).reshape(-1, 5),
            entries=np.concatenate(entries),
            starts=np.array(starts, dtype=np.int64),
            picks=np.array(picks, dtype=np.int64).reshape(-1, 2),
            largest=largest,
        )


class _Values:
    """Every distinct entry of some operations' matrices as a sum of waves."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.values: list[tuple[int, int]] = []
        self.terms: list[int] = []
        self.factors: list[tuple[float, float]] = []
        self._first: dict[tuple[object, ...], int] = {}
        self._constants: dict[complex, int] = {}
        for number in (0j, 1 + 0j):
            self._constant(number)
        # Not of the unique ones alone: equal operations may differ in the last bit.
        for operation in operations:
            if operation.matrix is not None:
                for number in operation.matrix.flat:
                    self._constant(complex(number))
        unique = {operation.key: operation for operation in operations}.values()
        shared, differing = _Waves(), _Waves()
        for operation in unique:
            if operation.base is not None and operation.source == "weights":
                self._series(operation, shared, 0)
        for operation in unique:
            if operation.base is not None and operation.source == "data":
                self._series(operation, differing, shared.count)
        self.waves = shared.written(), differing.written()

    def index(self, operation: Operation, targets: Sequence[int]) -> np.ndarray:
        """Return the value of each entry (D, D) of an operation's matrix on `targets`."""
        if operation.matrix is not None:
            rows = np.array([self._constants[complex(v)] for v in operation.matrix.flat])
        else:
            value = gate_series(str(operation.base)).value.reshape(-1)
            rows = np.where(value < 0, _ZERO, self._first[operation.key] + value)
        # Entries that are zero or one in any case are numbered from the end.
        table: np.ndarray = np.append(rows, [_ONE, _ZERO])[embedding(operation, targets)]
        return table

    def _constant(self, number: complex) -> None:
        if number not in self._constants:
            self._constants[number] = len(self.values)
            self.values.append((len(self.terms), len(self.terms) + 1))
            self.terms.append(-1)
            self.factors.append((number.real, number.imag))

    def _series(self, operation: Operation, waves: "_Waves", before: int) -> None:
        series = gate_series(str(operation.base))
        self._first[operation.key] = len(self.values)
        for factors, frequencies in zip(series.coefficients, series.frequencies, strict=True):
            first = len(self.terms)
            for factor, frequency in zip(factors, frequencies, strict=True):
                if factor:
                    wave = waves.add(operation.angles, frequency)
                    self.terms.append(wave if wave < 0 else before + wave)
                    self.factors.append((factor.real, factor.imag))
            self.values.append((first, len(self.terms)))


class _Waves:
    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, float], ...], int] = {}

    @property
    def count(self) -> int:
        return len(self._known)

    def add(self, angles: Sequence[int], frequencies: np.ndarray) -> int:
        """Return the wave of these angles, -1 where the frequencies are all zero."""
        turns = tuple((a, float(f)) for a, f in zip(angles, frequencies, strict=True) if f)
        return self._known.setdefault(turns, len(self._known)) if turns else -1

    def written(self) -> Waves:
        terms = [(a, wave, f) for turns, wave in self._known.items() for a, f in turns]
        table = np.array(sorted(terms), dtype=np.float64).reshape(-1, 3)
        angle, wave = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
        return Waves(wave, angle, table[:, 2], len(self._known))
