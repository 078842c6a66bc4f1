from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from qhybrid_circuits import CircuitError
from qhybrid_circuits.caching import Cache
from qhybrid_runtime.engine.by_dtype import ByDtype


class ObservableTables(NamedTuple):
    """An `ObservableSet` as arrays for compiled kernels."""

    diagonal: np.ndarray  # (2**n, n_obs): the eigenvalues of the diagonal parts.
    moves: np.ndarray  # (n_moves, 3): a move of the other parts, its first and last + 1 row.
    rows: np.ndarray  # (n_rows,): the observable of each row.
    phases: np.ndarray  # (n_rows, 2**n, 2): real and imaginary part of each row's phases.


class ObservableSet:
    """Sums of Pauli strings, measured together and applied together.

    A Pauli string moves amplitude k to k XOR x, where x marks its X and Y, and multiplies it by a
    phase. Strings of one x share the move, so a set is one row of phases an observable and move.

    Attributes:
        count: Number of observables.
        num_qubits: Qubits that they act on.
        support: Qubits that at least one of them is about.
    """

    def __init__(self, observables: Sequence[SparsePauliOp], num_qubits: int) -> None:
        """Sort the strings of `observables` by the amplitudes that they connect.

        Raises:
            CircuitError: An observable has another number of qubits or is not Hermitian.
        """
        self.count = len(observables)
        self.num_qubits = num_qubits
        # (observable, x, z, coefficient) of each string, bit q of x and z for qubit q.
        self._strings: list[tuple[int, int, int, complex]] = []
        for row, observable in enumerate(observables):
            self._check(row, observable)
            bits = 1 << np.arange(num_qubits)
            for z, x, coefficient in zip(
                observable.paulis.z, observable.paulis.x, observable.coeffs, strict=True
            ):
                # Y|k> is i (-1)^k |k XOR 1>.
                phase = complex(coefficient) * 1j ** int((z & x).sum())
                self._strings.append((row, int(bits @ x), int(bits @ z), phase))
        acted_on = 0
        for _, x, z, _ in self._strings:
            acted_on |= x | z
        self.support = frozenset(q for q in range(num_qubits) if acted_on >> q & 1)
        self._tables: Cache[ObservableTables] = Cache(16)
        self._terms = ByDtype[list[_Term]]()

    def _check(self, row: int, observable: SparsePauliOp) -> None:
        if observable.num_qubits != self.num_qubits:
            raise CircuitError(
                f"Observable {row} must act on {self.num_qubits} qubits, but acts on "
                f"{observable.num_qubits}"
            )
        if np.abs(np.imag(observable.coeffs)).max(initial=0) > 1e-12:
            raise CircuitError(f"Observable {row} must be Hermitian, but has complex coefficients")

    @property
    def key(self) -> tuple[object, ...]:
        """Return what is equal for sets that measure the same."""
        return (self.num_qubits, self.count, *self._strings)

    def phases(self, order: Sequence[int]) -> dict[int, dict[int, np.ndarray]]:
        """Return, for each move, the phases (2**n,) of each observable that has it.

        Bit i of an amplitude's number is qubit `order[i]`.
        """
        bit_of = {qubit: bit for bit, qubit in enumerate(order)}

        def in_order(mask: int) -> int:
            return sum(1 << bit_of[q] for q in range(self.num_qubits) if mask >> q & 1)

        index = np.arange(1 << self.num_qubits)
        terms: dict[int, dict[int, np.ndarray]] = {}
        for row, x, z, phase in self._strings:
            odd = np.bitwise_count(index & in_order(z)).astype(np.int64) & 1
            rows = terms.setdefault(in_order(x), {})
            rows[row] = rows.get(row, 0) + phase * (1 - 2 * odd)
        return terms

    def tables(self, order: tuple[int, ...], dtype: np.dtype[np.floating]) -> ObservableTables:
        """Return the set for amplitudes of which bit i is qubit `order[i]`."""
        return self._tables.get((order, dtype), lambda: self._new_tables(order, dtype))

    def _new_tables(self, order: Sequence[int], dtype: np.dtype[np.floating]) -> ObservableTables:
        terms = self.phases(order)
        diagonal = np.zeros((1 << self.num_qubits, self.count), dtype)
        for row, values in terms.pop(0, {}).items():
            diagonal[:, row] = values.real
        moves: list[tuple[int, int, int]] = []
        rows: list[int] = []
        phases: list[np.ndarray] = []
        for move, members in terms.items():
            moves.append((move, len(rows), len(rows) + len(members)))
            rows += members
            phases += [np.stack([values.real, values.imag], -1) for values in members.values()]
        stacked = np.array(phases, dtype).reshape(len(rows), 1 << self.num_qubits, 2)
        table = np.array(moves, np.int64).reshape(-1, 3)
        return ObservableTables(diagonal, table, np.array(rows, np.int64), stacked)

    def table_bytes(self, element_size: int) -> int:
        """Return the bytes that `tables` takes for numbers of `element_size` bytes."""
        moved = {(row, x) for row, x, _, _ in self._strings if x}
        return (self.count + 2 * len(moved)) * element_size << self.num_qubits

    def _terms_like(self, like: Tensor) -> list["_Term"]:
        index = np.arange(1 << self.num_qubits)
        return [
            _Term(
                torch.as_tensor(index ^ move, device=like.device) if move else None,
                torch.tensor(list(rows), device=like.device),
                torch.as_tensor(np.stack(list(rows.values()))).to(like),
            )
            for move, rows in self.phases(range(self.num_qubits)).items()
        ]

    def expectations(self, state: Tensor) -> Tensor:
        """Return the expectation values (G, B, n_obs) in states (G, 2**n, B)."""
        total = state.real.new_zeros(state.shape[0], self.count, state.shape[2])
        for term in self._terms.get(state, self._terms_like):
            if term.moved is None:
                values = term.phases.real @ (state.real.square() + state.imag.square())
            else:
                # The string sends k to `moved[k]` and multiplies it by the phase at k.
                values = (term.phases @ (state[:, term.moved].conj() * state)).real
            total = total.index_add(1, term.rows, values)
        return total.mT

    def weighted(self, cotangent: Tensor, state: Tensor) -> Tensor:
        """Return sum_i c_i O_i |state>, (G, 2**n, B), for cotangents c of shape (G, B, n_obs)."""
        total: Tensor | None = None
        for term in self._terms.get(state, self._terms_like):
            mixed = term.phases.mT @ cotangent.mT[:, term.rows].to(state.dtype)
            # XOR is its own inverse, so gathering at `moved` puts each product where it belongs.
            product = mixed * state
            found = product if term.moved is None else product[:, term.moved]
            total = found if total is None else total + found
        return torch.zeros_like(state) if total is None else total


class ObservableSets:
    """The sets that were used last: primitives are handed equal observables with every job.

    Sets with large tables are made anew for each job: many of them would fill the memory.
    """

    def __init__(self, kept: int = 64, most_bytes: int = 1 << 20) -> None:
        """Keep so many sets, whose phases take so many bytes at most, as complex numbers."""
        self._known: Cache[ObservableSet] = Cache(kept)
        self._most_bytes = most_bytes

    def get(self, observables: Sequence[SparsePauliOp], num_qubits: int) -> ObservableSet:
        """Return the set of these observables; see `ObservableSet`."""
        moving = sum(int(each.paulis.x.any(axis=1).sum()) for each in observables)
        # Of complex numbers in double precision; less where strings share a move.
        if 16 * (len(observables) + moving) << num_qubits > self._most_bytes:
            return ObservableSet(observables, num_qubits)
        key = (num_qubits, observables_key(observables))
        return self._known.get(key, lambda: ObservableSet(observables, num_qubits))


def observables_key(observables: Sequence[SparsePauliOp]) -> tuple[bytes, ...]:
    """Return what is equal for equal sequences of observables."""
    tables = [(each.paulis.z, each.paulis.x, each.coeffs) for each in observables]
    return tuple(array.tobytes() for arrays in tables for array in arrays)


class _Term(NamedTuple):
    """The strings of one move: moved amplitudes, their observables, phases (n_rows, 2**n)."""

    moved: Tensor | None
    rows: Tensor
    phases: Tensor
