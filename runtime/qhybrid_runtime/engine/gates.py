"""Qiskit's parameterized gates as trigonometric polynomials of their angles.

Every entry of a rotation's matrix is a sum of exponentials exp(i f.a) of its angles a, with
frequencies f that are multiples of one half: cos(a/2) = (exp(ia/2) + exp(-ia/2)) / 2. So a discrete
Fourier transform of the matrices that Qiskit itself gives finds all there is to know of a gate, and
one formula serves every gate there is. Gates without parameters need none of this.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from qiskit.circuit import ControlledGate, Gate
from qiskit.circuit.library import get_standard_gate_name_mapping

#: Parameterized standard gates by name.
PARAMETERIZED = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and gate.params
}

#: Points an angle is sampled at, over its period of 4 pi: frequencies of up to 1 need five.
_POINTS = 6

#: What is smaller is rounding.
_ZERO = 1e-12


@dataclass(frozen=True, eq=False)
class GateSeries:
    """The matrix of a gate on its targets; controls are not in it.

    Each distinct entry is a value: sum_t coefficients[v, t] * exp(i frequencies[v, t] . angles).

    Attributes:
        value: Which value each entry is, shape (D, D); -1 where the entry is zero.
        coefficients: Complex, shape (n_values, n_terms), zero where a value has fewer terms.
        frequencies: Shape (n_values, n_terms, n_angles).
    """

    value: np.ndarray
    coefficients: np.ndarray
    frequencies: np.ndarray

    @cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the matrix can have a real and an imaginary part, both bool (D, D)."""
        real, imaginary = (np.zeros(len(self.coefficients), dtype=bool) for _ in range(2))
        pairs = zip(self.coefficients, self.frequencies, strict=True)
        for index, (factors, turns) in enumerate(pairs):
            terms = {tuple(f): c for f, c in zip(turns, factors, strict=True) if c}
            mirrored = {f: np.conj(terms.get(tuple(-np.array(f)), 0)) for f in terms}
            real[index] = any(abs(c + mirrored[f]) > _ZERO for f, c in terms.items())
            imaginary[index] = any(abs(c - mirrored[f]) > _ZERO for f, c in terms.items())
        there = self.value >= 0
        return real[self.value] & there, imaginary[self.value] & there

    @cached_property
    def ones(self) -> np.ndarray:
        """Return where the matrix is one whatever the angles, bool (D, D)."""
        still = (self.frequencies == 0).all(axis=2)
        moves = (np.abs(np.where(still, 0, self.coefficients)) > _ZERO).any(axis=1)
        constant = np.where(still, self.coefficients, 0).sum(axis=1)
        one = ~moves & (np.abs(constant - 1) < _ZERO)
        there: np.ndarray = one[self.value] & (self.value >= 0)
        return there


@lru_cache(maxsize=256)
def gate_series(name: str) -> GateSeries:
    """Return a gate of `PARAMETERIZED` as a series in its angles.

    Of a controlled gate it is the part that acts where the controls are set.
    """
    gate = PARAMETERIZED[name]
    count = len(gate.params)
    skipped = 1 << gate.num_ctrl_qubits if isinstance(gate, ControlledGate) else 1
    grid = 4 * np.pi * np.arange(_POINTS) / _POINTS
    whole = [gate.base_class(*angles).to_matrix() for angles in product(grid, repeat=count)]
    # The rows and columns in which the controls, the least significant bits, are all 1.
    samples = np.array(whole)[:, skipped - 1 :: skipped, skipped - 1 :: skipped]
    size = samples.shape[-1]
    shaped = samples.reshape(*[_POINTS] * count, size * size)
    spectrum = np.fft.fftn(shaped, axes=range(count)).reshape(-1, size * size)
    # Qiskit's own rounding, of 1e-16, is not a frequency.
    spectrum = np.round(spectrum / _POINTS**count, 15)
    half_turns = np.fft.fftfreq(_POINTS, 1 / _POINTS) / 2
    turns = np.array(list(product(half_turns, repeat=count)))
    return _series(spectrum.T, turns, size)


def _series(spectrum: np.ndarray, turns: np.ndarray, size: int) -> GateSeries:
    """Return the series of entries (D * D, n_frequencies), each distinct one a value."""
    known: dict[bytes, int] = {}
    rows: list[np.ndarray] = []
    value = np.full(size * size, -1)
    for entry, amplitudes in enumerate(spectrum):
        if (np.abs(amplitudes) > _ZERO).any():
            # Adding zero makes 0 of -0, which differs in its bytes.
            value[entry] = known.setdefault((amplitudes + 0).tobytes(), len(known))
            if value[entry] == len(rows):
                rows.append(amplitudes)
    terms = max(int((np.abs(row) > _ZERO).sum()) for row in rows)
    coefficients = np.zeros((len(rows), terms), dtype=np.complex128)
    frequencies = np.zeros((len(rows), terms, turns.shape[1]))
    for index, row in enumerate(rows):
        present = np.flatnonzero(np.abs(row) > _ZERO)
        coefficients[index, : len(present)] = row[present]
        frequencies[index, : len(present)] = turns[present]
    return GateSeries(value.reshape(size, size), coefficients, frequencies)
