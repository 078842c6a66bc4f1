"""How the coefficients that kernels need follow from a call's angles, as integer tables.

A wave is exp(i f.a) for some angles a and frequencies f; cosines and sines of all waves are all the
trigonometry there is. The amplitudes of prepared registers count as waves too. A value is a sum of
waves, an entry of a gate's matrix is a value, a block's matrix is the product of its gates'
matrices, and coefficients are picked from those products.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from qhybrid_runtime.engine.fusion import Block, Plan
from qhybrid_runtime.engine.gates import gate_series
from qhybrid_runtime.engine.patterns import Part, embedding
from qhybrid_runtime.engine.preparation import Preparation
from qhybrid_runtime.engine.program import Operation

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
            count through both, and on through the amplitudes.
        amplitudes: Shape (n_amplitudes, 2): the column of the data angles that holds the real part
            of each amplitude, and that of the imaginary part, -1 where there is none.
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
    amplitudes: np.ndarray
    values: np.ndarray
    terms: np.ndarray
    factors: np.ndarray
    blocks: np.ndarray
    entries: np.ndarray
    starts: np.ndarray
    picks: np.ndarray
    largest: int

    def with_amplitudes(
        self, cos: np.ndarray, sin: np.ndarray, data_angles: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return both parts of the waves of data angles, with those of the amplitudes appended.

        Args:
            cos: Shape (n_waves, ...).
            sin: Shape (n_waves, ...).
            data_angles: Shape (n_data_angles, ...).
        """
        if not len(self.amplitudes):
            return cos, sin
        real, imaginary = self.amplitudes.T
        there = (imaginary >= 0).reshape(-1, *(1,) * (data_angles.ndim - 1))
        parts = data_angles[real], np.where(there, data_angles[imaginary], 0)
        return np.concatenate([cos, parts[0]]), np.concatenate([sin, parts[1]])

    def pull_back_amplitudes(self, by_parts: np.ndarray, by_angles: np.ndarray) -> None:
        """Write the gradient by amplitudes to that by angles.

        Args:
            by_parts: By real and imaginary parts in turn, shape (2 * n_amplitudes, ...).
            by_angles: Shape (n_angles, ...).
        """
        real, imaginary = self.amplitudes.T
        by_angles[real] = by_parts[::2]
        by_angles[imaginary[imaginary >= 0]] = by_parts[1::2][imaginary >= 0]

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
    """Collects the coefficients that gates need.

    The start states come first: those of single qubits, then those of prepared registers.
    """

    def __init__(self, plan: Plan) -> None:
        self._preparations = plan.preparations
        self._blocks: list[Block] = [
            Block((), 0, (qubit,), plan.starts[qubit]) for qubit in plan.single_qubits
        ]
        self._picks: list[list[tuple[int, int]]] = []
        for place in range(len(self._blocks)):
            # The first column of the matrix: what becomes of |0>.
            numbers = (0, 1, 4, 5)
            self._picks.append([(4 * place + i, number) for i, number in enumerate(numbers)])
        self._count = 4 * len(self._blocks)
        self._first_amplitude = self._count
        self._count += sum(2 << len(preparation.qubits) for preparation in plan.preparations)
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
        operations = [op for block in self._blocks for op in block.operations]
        numbers = _Values(operations, self._preparations)
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
        coefficient = self._first_amplitude
        for values in numbers.prepared:
            # A matrix that is not multiplied: its entries are the amplitudes, and zeros.
            rows = math.isqrt(len(values) - 1) + 1
            blocks.append((rows, 0, 1, len(picks), len(picks) + 2 * len(values)))
            starts.append(position)
            picks += [(coefficient + i, i) for i in range(2 * len(values))]
            entries.append(np.append(values, [_ZERO] * (rows**2 - len(values))))
            coefficient += 2 * len(values)
            position += rows * rows
            largest = max(largest, 4 * rows * rows)
        return Recipe(
            waves=numbers.waves,
            amplitudes=numbers.amplitudes,
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
    """Every distinct entry of some operations' matrices as a sum of waves.

    Attributes:
        prepared: The value of each amplitude of each prepared register.
    """

    def __init__(
        self, operations: Sequence[Operation], preparations: Sequence[Preparation]
    ) -> None:
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
        columns = [
            pair for p in preparations for pair in zip_longest(p.real, p.imaginary, fillvalue=-1)
        ]
        self.amplitudes = np.array(columns, dtype=np.int64).reshape(-1, 2)
        first = len(self.values)
        for number in range(len(columns)):
            self.values.append((len(self.terms), len(self.terms) + 1))
            self.terms.append(shared.count + differing.count + number)
            self.factors.append((1.0, 0.0))
        self.prepared = []
        for preparation in preparations:
            self.prepared.append(np.arange(first, first + len(preparation.real)))
            first += len(preparation.real)

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
