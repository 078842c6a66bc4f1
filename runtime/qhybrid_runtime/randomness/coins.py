from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
from numpy.random import SeedSequence
from qiskit import QuantumCircuit

#: Returns at least so many readings, a table uint8 (n_shots, n_qubits) for each run of a circuit; a
#: simulator follows the seed, and a QPU knows by the text what they are for.
Read = Callable[[int, SeedSequence, str], list[np.ndarray]]


class BitSource(Protocol):
    """Measures a circuit and returns its readings as fair coin flips.

    Attributes:
        name: The backend's name.
    """

    name: str

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return fair bits, uint8 (count,); a simulator returns the same ones for the same seed."""


@cache
def coin_circuit(num_qubits: int) -> QuantumCircuit:
    """Return a circuit with a Hadamard gate and a measurement on each qubit."""
    circuit = QuantumCircuit(num_qubits, name="coins")
    circuit.h(range(num_qubits))
    circuit.measure_all()
    return circuit


def shot_bits(packed: np.ndarray, num_bits: int) -> np.ndarray:
    """Return the bits (shots, num_bits) of a Qiskit BitArray's bytes (shots, n_bytes)."""
    return np.unpackbits(packed, axis=-1)[:, -num_bits:]
