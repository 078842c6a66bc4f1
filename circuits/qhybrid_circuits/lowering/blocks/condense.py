"""Long circuits on three qubits, synthesized again as one unitary.

However many blocks act on three qubits, 14 cz on a chain are enough for any unitary, and so are 11
rzz of free angle: as many as its 63 free numbers need, at four (five) numbers a gate and three a
qubit, the count of Shende, Markov and Bullock (Phys. Rev. A 69, 062321, 2004). That this least
number suffices on a chain is found, not proven: the angles come from a least-squares fit, which
reaches machine precision, and where it does not, the blocks stay as they are.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhybrid_circuits.lowering.blocks.collect import (
    Block,
    BlockCircuit,
    BlockCollector,
    Matrix,
    side_by_side,
    widen,
)

#: Two-qubit gates that are enough for any unitary on a chain of three qubits.
ENOUGH_CZ, ENOUGH_RZZ = 14, 11

#: Starting points of the fit; nearly always the first one leads to the solution.
_STARTS = 20

#: The fit's remaining sum of squares that counts as none.
_EXACT = 1e-20

_ONE_QUBIT = {"y": np.array([[0, -1j], [1j, 0]]), "z": np.diag([1.0 + 0j, -1.0])}


def condense(
    blocks: BlockCircuit, parts: Sequence[Sequence[int]], fractional: bool
) -> BlockCircuit:
    """Replace the blocks on three qubits by a chain of as many gates as any unitary needs.

    `parts` are, for each set of three qubits to condense, the indices of all its blocks; an rzz of
    any angle is one gate if `fractional`. Parts whose fit fails keep their blocks.
    """
    collector = BlockCollector(blocks.num_qubits)
    replaced: dict[int, list[tuple[tuple[int, int], Matrix]] | None] = {}
    for part in parts:
        chain = _chain([blocks.blocks[index] for index in part])
        fitted = _fit(_unitary(blocks, part, chain), chain, fractional)
        if fitted is not None:
            replaced.update(dict.fromkeys(part))
            replaced[part[0]] = fitted
            for index in part:
                _add_waiting(collector, blocks.blocks[index])
    for index, block in enumerate(blocks.blocks):
        if index not in replaced:
            _add_waiting(collector, block)
            collector.add_pair(block.matrix, block.qubits)
        for pair, matrix in replaced.get(index) or ():
            collector.add_pair(matrix, pair)
    for qubit, operations in enumerate(blocks.after):
        for operation in operations:
            collector.add_symbolic(operation, qubit)
    return collector.finish(blocks.global_phase)


def condensable(blocks: BlockCircuit, indices: Sequence[int]) -> bool:
    """Return whether blocks act on three qubits, with unbound parameters only before them."""
    seen: set[int] = set()
    for index in indices:
        block = blocks.blocks[index]
        for qubit, before in zip(block.qubits, block.before, strict=True):
            if before and qubit in seen:
                return False
            seen.add(qubit)
    return len(seen) == 3


def _add_waiting(collector: BlockCollector, block: Block) -> None:
    for qubit, operations in zip(block.qubits, block.before, strict=True):
        for operation in operations:
            collector.add_symbolic(operation, qubit)


def _chain(blocks: Sequence[Block]) -> tuple[int, int, int]:
    """Return the three qubits with the one that meets the others most often in the middle."""
    qubits = [qubit for block in blocks for qubit in block.qubits]
    first, second, third = sorted(set(qubits), key=lambda qubit: (qubits.count(qubit), qubit))
    return first, third, second


def _unitary(blocks: BlockCircuit, part: Sequence[int], chain: Sequence[int]) -> Matrix:
    """Return the part's unitary, 8x8, with the chain's first qubit as the least significant."""
    state = np.eye(8, dtype=complex).reshape(2, 2, 2, 8)
    for index in part:
        block = blocks.blocks[index]
        low, high = (2 - chain.index(qubit) for qubit in block.qubits)
        gate = block.matrix.reshape(2, 2, 2, 2)  # out high, out low, in high, in low
        state = np.tensordot(gate, state, axes=((2, 3), (high, low)))
        state = np.moveaxis(state, (0, 1), (high, low))
    return state.reshape(8, 8)


class _Ansatz:
    """Three Euler rotations a qubit, then ZZ rotations along the chain, each with Y, Z after it."""

    def __init__(self, gates: int, fractional: bool) -> None:
        self.places: list[tuple[int, ...]] = []
        self.kinds: list[str] = []
        for position in range(3):
            for kind in "zyz":
                self._add((position,), kind)
        for gate in range(gates):
            pair = (gate % 2, gate % 2 + 1)
            self._add(pair, "zz")
            for position in pair:
                for kind in "yz":
                    self._add((position,), kind)
        kinds = zip(self.kinds, self.places, strict=True)
        factors = [dict.fromkeys(place, _ONE_QUBIT[kind[0]]) for kind, place in kinds]
        self.generators = np.array([side_by_side(each, 3) for each in factors])
        # A ZZ rotation by pi/2 is a cz up to Z rotations.
        bound = np.array([kind == "zz" and not fractional for kind in self.kinds])
        self.free = np.flatnonzero(~bound)
        self.bound_angles = np.where(bound, np.pi / 2, 0.0)

    def _add(self, place: tuple[int, ...], kind: str) -> None:
        self.places.append(place)
        self.kinds.append(kind)

    def angles(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        angles = self.bound_angles.copy()
        angles[self.free] = values
        return angles

    def products(self, values: NDArray[np.float64]) -> Matrix:
        """Return the unitary after each rotation, shape (rotations, 8, 8)."""
        half = self.angles(values)[:, None, None] / 2
        rotations = np.cos(half) * np.eye(8) - 1j * np.sin(half) * self.generators
        for index in range(1, len(rotations)):
            rotations[index] = rotations[index] @ rotations[index - 1]
        return np.asarray(rotations)

    def derivatives(self, products: Matrix) -> Matrix:
        """Return the derivative of the last product by each free angle, (n_free, 8, 8)."""
        before = products[self.free]
        inner = before.conj().transpose(0, 2, 1) @ (-0.5j * self.generators[self.free]) @ before
        return np.asarray(products[-1] @ inner)


_ansatz = cache(_Ansatz)


def _fit(
    unitary: Matrix, chain: Sequence[int], fractional: bool
) -> list[tuple[tuple[int, int], Matrix]] | None:
    """Return two-qubit gates on neighbours of the chain whose product is the unitary."""
    # Few circuits need it, and it takes long to import.
    from scipy.optimize import least_squares

    ansatz = _ansatz(ENOUGH_RZZ if fractional else ENOUGH_CZ, fractional)
    options = {"method": "lm", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 300}
    generator = np.random.default_rng(0)
    for _ in range(_STARTS):
        start = generator.uniform(-np.pi, np.pi, len(ansatz.free) + 1)
        residual, jacobian = partial(_residual, ansatz, unitary), partial(_jacobian, ansatz)
        found = least_squares(residual, start, jacobian, **options)
        if found.cost < _EXACT:
            return _gates(ansatz, found.x, chain)
    return None


def _residual(ansatz: _Ansatz, unitary: Matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return _real(np.exp(1j * values[0]) * ansatz.products(values[1:])[-1] - unitary)


def _jacobian(ansatz: _Ansatz, values: NDArray[np.float64]) -> NDArray[np.float64]:
    products = ansatz.products(values[1:])
    by_phase = 1j * products[-1][None]
    columns = np.exp(1j * values[0]) * np.concatenate([by_phase, ansatz.derivatives(products)])
    return _real(columns.reshape(len(columns), -1).T)


def _real(values: Any) -> NDArray[np.float64]:
    flat = values.reshape(-1) if values.shape == (8, 8) else values
    return np.concatenate([flat.real, flat.imag])


def _gates(
    ansatz: _Ansatz, values: NDArray[np.float64], chain: Sequence[int]
) -> list[tuple[tuple[int, int], Matrix]]:
    """Collect the rotations into one 4x4 matrix for each ZZ rotation, those around it included."""
    angles = ansatz.angles(values[1:])
    first: dict[int, Matrix] = {position: np.eye(2, dtype=complex) for position in range(3)}
    gates: list[tuple[tuple[int, int], Matrix]] = []
    for kind, place, angle in zip(ansatz.kinds, ansatz.places, angles, strict=True):
        if kind == "zz":
            phases = np.exp(-0.5j * angle * np.array([1, -1, -1, 1]))
            low, high = place
            before = np.kron(first.pop(high, np.eye(2)), first.pop(low, np.eye(2)))
            gates.append(((chain[low], chain[high]), phases[:, None] * before))
            continue
        rotation = np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * _ONE_QUBIT[kind]
        if place[0] in first:
            first[place[0]] = rotation @ first[place[0]]
            continue
        pair, matrix = gates[-1]
        gates[-1] = (pair, widen(rotation, pair.index(chain[place[0]])) @ matrix)
    gates[0] = (gates[0][0], np.exp(1j * values[0]) * gates[0][1])
    return gates
