"""How the coefficients that kernels need follow from a call's angles, as integer tables.

A wave is exp(i f.a) for some angles a and frequencies f; cosines and sines of all waves are all the
trigonometry there is. The amplitudes of prepared registers count as waves too. A value is a sum of
waves, an entry of a gate's matrix is a value, a block's matrix is the product of its gates'
matrices, and coefficients are picked from those products.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from qhybrid_runtime.engine.coefficients import ONE, ZERO, Coefficients
from qhybrid_runtime.engine.fusion import Block, Plan
from qhybrid_runtime.engine.gates import gate_series
from qhybrid_runtime.engine.patterns import Part
from qhybrid_runtime.engine.preparation import Preparation
from qhybrid_runtime.engine.program import Operation, Source


@dataclass(frozen=True)
class Waves:
    """Waves of the angles of one table: exponents are sums of terms f * a, ascending by angle."""

    wave: np.ndarray  # The wave of each term.
    angle: np.ndarray  # The column of its angle.
    frequency: np.ndarray  # Its factor.
    count: int  # Number of waves.

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


class BlockRow(NamedTuple):
    """A block: the product of gate matrices, the first acting first."""

    rows: int  # Rows D of each matrix.
    gates: int  # Number of matrices.
    first_entry: int  # In `RecipeTables.entries`, where the matrices follow one another.
    first_pick: int  # In `RecipeTables.picks`.
    end_pick: int


class RecipeTables(NamedTuple):
    """How coefficients follow from waves, as kernels take it."""

    values: np.ndarray  # (n_values, 2): first and last + 1 entry of each value in `terms`.
    terms: np.ndarray  # (n_terms,): the wave of each term, -1 where it is constant.
    factors: np.ndarray  # (n_terms, 2): real and imaginary part of each term's factor.
    blocks: np.ndarray  # A `BlockRow` a row.
    entries: np.ndarray  # The value of each entry of each gate matrix, D * D a gate.
    # (n_coefficients, 2): the coefficient, and the number within the block's product that it is,
    # twice the entry and one more for the imaginary part.
    picks: np.ndarray
    largest: int  # Vectors that take all products of the largest block.


@dataclass(frozen=True)
class Recipe:
    """How the coefficients follow from a call's angles.

    Attributes:
        waves: The waves of angles that depend on weights alone, then those of the others; they
            count through both, and on through the amplitudes.
        amplitudes: Shape (n_amplitudes, 2): the column of the data angles that holds the real part
            of each amplitude, and that of the imaginary part, -1 where there is none.
        tables: The rest.
    """

    waves: tuple[Waves, Waves]
    amplitudes: np.ndarray
    tables: RecipeTables

    def with_amplitudes(
        self, cos: np.ndarray, sin: np.ndarray, data_angles: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and sines (n_waves, ...) with the amplitudes' parts appended.

        Data angles have shape (n_data_angles, ...).
        """
        if not len(self.amplitudes):
            return cos, sin
        real, imaginary = self.amplitudes.T
        there = (imaginary >= 0).reshape(-1, *(1,) * (data_angles.ndim - 1))
        parts = data_angles[real], np.where(there, data_angles[imaginary], 0)
        return np.concatenate([cos, parts[0]]), np.concatenate([sin, parts[1]])

    def pull_back_amplitudes(self, by_parts: np.ndarray, by_angles: np.ndarray) -> None:
        """Write the gradient by amplitudes, real and imaginary in turn, to that by angles."""
        real, imaginary = self.amplitudes.T
        by_angles[real] = by_parts[::2]
        by_angles[imaginary[imaginary >= 0]] = by_parts[1::2][imaginary >= 0]


class RecipeWriter:
    """Collects the coefficients that gates need.

    The start states come first: those of single qubits, then those of prepared registers.
    """

    def __init__(self, plan: Plan) -> None:
        self._preparations = plan.preparations
        self._blocks: list[Block] = [
            Block((), 0, (qubit,), plan.starts[qubit]) for qubit in plan.single_qubits
        ]
        # The first column of a start's matrix is what becomes of |0>.
        self._picks: list[list[tuple[int, int]]] = [
            [(4 * place + i, number) for i, number in enumerate((0, 1, 4, 5))]
            for place in range(len(self._blocks))
        ]
        self._num_starts = len(self._blocks)
        self._first_amplitude = 4 * self._num_starts
        amplitudes = sum(1 << len(preparation.qubits) for preparation in plan.preparations)
        self._count = self._first_amplitude + 2 * amplitudes
        self._blocks += plan.blocks
        self._picks += [[] for _ in plan.blocks]

    def pick(self, index: int, part: Part) -> int:
        """Return the first coefficient of a part of a block of the plan."""
        place = self._num_starts + index
        rows = 1 << len(self._blocks[place].targets)
        first = self._count
        for row, column, imaginary in part.entries:
            self._picks[place].append((self._count, 2 * (row * rows + column) + imaginary))
            self._count += 1
        return first

    def written(self) -> Recipe:
        """Return the tables."""
        used = [entry for entry in zip(self._blocks, self._picks, strict=True) if entry[1]]
        coefficients = Coefficients([op for block, _ in used for op in block.operations])
        sums = _Sums(coefficients)
        products = []
        for block, picks in used:
            rows = 1 << len(block.targets)
            matrices = [coefficients.index(op, block.targets) for op in block.operations]
            identity = np.where(np.eye(rows, dtype=bool), ONE, ZERO)
            products.append(_Product(rows, matrices or [identity], picks))
        number = self._first_amplitude
        for preparation in self._preparations:
            # A matrix that is not multiplied: its entries are the amplitudes, and zeros.
            values = sums.add_amplitudes(preparation)
            rows = math.isqrt(len(values) - 1) + 1
            padded = np.append(values, np.full(rows**2 - len(values), ZERO))
            picks = [(number + i, i) for i in range(2 * len(values))]
            products.append(_Product(rows, [padded], picks))
            number += 2 * len(values)
        columns = [
            pair
            for p in self._preparations
            for pair in zip_longest(p.real, p.imaginary, fillvalue=-1)
        ]
        waves = sums.waves("weights"), sums.waves("data")
        amplitudes = np.array(columns, dtype=np.int64).reshape(-1, 2)
        return Recipe(waves, amplitudes, _tables(sums, products))


class _Product(NamedTuple):
    """A block: matrices of so many rows, the first acting first, and the picks of their product."""

    rows: int
    matrices: list[np.ndarray]
    picks: list[tuple[int, int]]


def _tables(sums: "_Sums", products: Sequence[_Product]) -> RecipeTables:
    blocks = []
    entry = pick = 0
    for rows, matrices, picks in products:
        blocks.append(BlockRow(rows, len(matrices), entry, pick, pick + len(picks)))
        entry += len(matrices) * rows * rows
        pick += len(picks)
    picked = [pair for product in products for pair in product.picks]
    return RecipeTables(
        values=np.array(sums.values, dtype=np.int64),
        terms=np.array(sums.terms, dtype=np.int64),
        factors=np.array(sums.factors).reshape(-1, 2),
        blocks=np.array(blocks, dtype=np.int64).reshape(-1, len(BlockRow._fields)),
        entries=np.concatenate([m.reshape(-1) for product in products for m in product.matrices]),
        picks=np.array(picked, dtype=np.int64).reshape(-1, 2),
        largest=max((2 * max(row.gates, 2) * row.rows**2 for row in blocks), default=0),
    )


class _Sums:
    """Coefficients, then the amplitudes of prepared registers, as sums of waves."""

    def __init__(self, coefficients: Coefficients) -> None:
        self.values: list[tuple[int, int]] = []
        self.terms: list[int] = []
        self.factors: list[tuple[float, float]] = []
        self._waves: dict[Source, dict[tuple[tuple[int, float], ...], int]]
        self._waves = {"weights": {}, "data": {}}
        for number in coefficients.constants:
            self._add([-1], [number])
        for operation in (op for _, operations in coefficients.series for op in operations):
            series = gate_series(str(operation.base))
            for factors, turns in zip(series.coefficients, series.frequencies, strict=True):
                there = factors != 0
                self._add([self._wave(operation, turn) for turn in turns[there]], factors[there])
        self._num_waves = sum(len(known) for known in self._waves.values())

    def add_amplitudes(self, preparation: Preparation) -> np.ndarray:
        """Return the values of a register's amplitudes, each a wave after the others."""
        first = len(self.values)
        for _ in preparation.real:
            self._add([self._num_waves], [1 + 0j])
            self._num_waves += 1
        return np.arange(first, len(self.values))

    def waves(self, source: Source) -> Waves:
        """Return the waves of angles of one source."""
        known = self._waves[source]
        terms = [(a, wave, f) for turns, wave in known.items() for a, f in turns]
        table = np.array(sorted(terms), dtype=np.float64).reshape(-1, 3)
        angle, wave = table[:, :2].astype(np.int64).T
        return Waves(wave, angle, table[:, 2], len(known))

    def _add(self, waves: Sequence[int], factors: Iterable[complex]) -> None:
        self.values.append((len(self.terms), len(self.terms) + len(waves)))
        self.terms += waves
        self.factors += [(factor.real, factor.imag) for factor in factors]

    def _wave(self, operation: Operation, frequencies: np.ndarray) -> int:
        """Return a wave of the operation's angles, -1 where the frequencies are all zero."""
        known = self._waves[operation.source]
        turns = tuple(
            (a, float(f)) for a, f in zip(operation.angles, frequencies, strict=True) if f
        )
        # All waves of weights are there before the first one of data.
        before = len(self._waves["weights"]) if operation.source == "data" else 0
        return before + known.setdefault(turns, len(known)) if turns else -1
