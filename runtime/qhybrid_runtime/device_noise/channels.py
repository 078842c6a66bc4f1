from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce

import numpy as np
from qiskit.quantum_info import PTM
from qiskit.quantum_info.operators.channel.quantum_channel import QuantumChannel

#: Whether two Paulis anticommute (-1) or commute (1); rows and columns I, X, Y, Z.
_CHARACTERS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])


@dataclass(frozen=True, eq=False)
class PauliChannel:
    """A channel that applies a random Pauli string.

    Strings are numbered in base 4 with the digits I = 0, X = 1, Y = 2, Z = 3; the first qubit is
    the least significant digit. The product of two strings has the XOR of their numbers.

    Attributes:
        fidelities: Diagonal of the Pauli transfer matrix: the factor by which the channel shrinks
            each Pauli string, shape (4**n_qubits,). Channels compose by their product.
    """

    fidelities: np.ndarray

    @classmethod
    def twirled(cls, channel: QuantumChannel) -> "PauliChannel":
        """Return a channel, e.g. Aer's QuantumError, averaged over the Pauli group.

        Twirling keeps the fidelities and makes any noise a Pauli channel (Geller and Zhou,
        arXiv:1305.2021); coherences and the drift of relaxation towards |0> are lost.
        """
        return cls(np.real(np.diagonal(PTM(channel).data)).copy())

    @classmethod
    def relaxation(cls, duration: float, t1: float, t2: float) -> "PauliChannel":
        """Return the twirl of one qubit's thermal relaxation at zero temperature, times in seconds.

        T1 and T2 may be infinite. A T2 of more than 2 T1 is unphysical and counts as 2 T1.
        """
        dephasing = np.exp(-duration / min(t2, 2 * t1))
        return cls(np.array([1.0, dephasing, dephasing, np.exp(-duration / t1)]))

    @property
    def num_qubits(self) -> int:
        return (len(self.fidelities).bit_length() - 1) // 2

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Probability of each Pauli string, shape (4**n_qubits,)."""
        raw = _characters(self.num_qubits) @ self.fidelities / len(self.fidelities)
        # A T2 near 2 T1 leaves rounding errors below zero.
        positive = raw.clip(min=0)
        return np.asarray(positive / positive.sum())

    @property
    def error_probability(self) -> float:
        """Probability of any string but the identity."""
        # Not 1 - p(I), since errors may be smaller than the rounding error of that difference.
        return float(self.probabilities[1:].sum())

    def then(self, other: "PauliChannel") -> "PauliChannel":
        """Return this channel followed by another one on the same qubits."""
        return PauliChannel(self.fidelities * other.fidelities)

    def on(self, places: Sequence[int], num_qubits: int) -> "PauliChannel":
        """Return the channel of a larger register in which its qubit i is `places[i]`.

        A place below zero drops the qubit, whatever happens to it.
        """
        # numpy's first axis is the most significant digit, the last qubit.
        table = self.fidelities.reshape((4,) * self.num_qubits)
        for qubit in range(self.num_qubits):
            if places[qubit] < 0:
                table = table.take([0], axis=self.num_qubits - 1 - qubit)
        digits = np.arange(4**num_qubits)
        index = tuple(
            (digits >> (2 * place)) % 4 if place >= 0 else np.zeros_like(digits)
            for place in reversed(places)
        )
        return PauliChannel(table[index])


@cache
def _characters(num_qubits: int) -> np.ndarray:
    return reduce(np.kron, [_CHARACTERS] * num_qubits, np.ones((1, 1)))
