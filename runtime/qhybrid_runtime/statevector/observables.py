from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from qhybrid_circuits import CircuitError


class ObservableSet:
    """Sums of Pauli strings, measured together and applied together.

    A Pauli string moves amplitude k to k XOR x, where x marks its X and Y, and multiplies it by a
    phase. Strings of one x share the move, so a set is one row of phases an observable and move.
    """

    def __init__(self, observables: Sequence[SparsePauliOp], num_qubits: int) -> None:
        """Sort the strings of `observables` by the amplitudes that they connect.

        Raises:
            CircuitError: An observable has another number of qubits or is not Hermitian.
        """
        self.count = len(observables)
        self.num_qubits = num_qubits
        phases: dict[int, np.ndarray] = defaultdict(
            lambda: np.zeros((self.count, 1 << num_qubits), dtype=np.complex128)
        )
        index = np.arange(1 << num_qubits)
        for row, observable in enumerate(observables):
            if observable.num_qubits != num_qubits:
                raise CircuitError(
                    f"Observable {row} must act on {num_qubits} qubits, but acts on "
                    f"{observable.num_qubits}"
                )
            if np.abs(np.imag(observable.coeffs)).max(initial=0) > 1e-12:
                raise CircuitError(
                    f"Observable {row} must be Hermitian, but has complex coefficients"
                )
            bits = 1 << np.arange(num_qubits)
            paulis = observable.paulis
            for z, x, coefficient in zip(paulis.z, paulis.x, observable.coeffs, strict=True):
                odd = np.bitwise_count(index & int(bits @ z)).astype(np.int64) & 1
                turn = coefficient * 1j ** int((z & x).sum())
                phases[int(bits @ x)][row] += turn * (1 - 2 * odd)
            # SparsePauliOp keeps no phases in its Pauli list: they are in the coefficients.
        self._phases = dict(phases)
        self._index = index
        self._cache: dict[tuple[torch.dtype, torch.device], list[tuple[Tensor | None, Tensor]]] = {}

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for sets that measure the same."""
        return tuple((move, rows.tobytes()) for move, rows in sorted(self._phases.items()))

    def _terms(self, like: Tensor) -> list[tuple[Tensor | None, Tensor]]:
        """Return (moved indices or None, phases (n_obs, 2**n)); real phases where they all are."""
        where = (like.dtype, like.device)
        if where not in self._cache:
            self._cache[where] = [
                (
                    torch.as_tensor(self._index ^ move, device=like.device) if move else None,
                    torch.as_tensor(rows.real).to(like.device, like.real.dtype)
                    if move == 0
                    else torch.as_tensor(rows).to(like),
                )
                for move, rows in self._phases.items()
            ]
        return self._cache[where]

    def expectations(self, state: Tensor) -> Tensor:
        """Return the expectation values (G, B, n_obs) in states (G, 2**n, B)."""
        total = state.real.new_zeros(state.shape[0], self.count, state.shape[2])
        for moved, phases in self._terms(state):
            if moved is None:
                total += phases @ (state.real.square() + state.imag.square())
            else:
                # The string sends k to `moved[k]` and multiplies it by the phase at k.
                total += (phases @ (state[:, moved].conj() * state)).real
        return total.mT

    def weighted(self, cotangent: Tensor, state: Tensor) -> Tensor:
        """Return sum_i c_i O_i |state>, (G, 2**n, B), for cotangents c of shape (G, B, n_obs)."""
        total = torch.zeros_like(state)
        for moved, phases in self._terms(state):
            mixed = phases.mT @ cotangent.mT.to(phases.dtype)
            # XOR is its own inverse, so gathering at `moved` puts each product where it belongs.
            product = mixed * state
            total += product if moved is None else product[:, moved]
        return total
