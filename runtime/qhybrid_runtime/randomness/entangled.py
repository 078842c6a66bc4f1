"""Random numbers from entangled qubits: bits of one shot are correlated, those of two are not."""

import numpy as np
from numpy.random import SeedSequence
from qiskit import QuantumCircuit
from qiskit.quantum_info import random_unitary
from qiskit.synthesis import OneQubitEulerDecomposer

from qhybrid_circuits import QHybridError
from qhybrid_runtime.randomness.coins import Read
from qhybrid_runtime.randomness.cost import COIN_QUBITS, STATE_QUBITS
from qhybrid_runtime.randomness.extraction import unbiased_bits

#: Shots that make one number on each qubit: as many bits as a number has.
_SHOTS_A_NUMBER = 24

#: Layers of the random circuit, and the seed of its gates.
_LAYERS, _SEED = 4, 1

#: Shots that are read at least, and reads in a row whose coins may all be the same.
_LEAST_SHOTS, _FRUITLESS = 96, 3


def state_circuit(state: str) -> QuantumCircuit:
    """Return the circuit of an entangled state on 12 qubits, with two coins beside it.

    `ghz` is (|0...0> + |1...1>) / sqrt(2). `random-circuit` has 4 layers of random gates on single
    qubits (by the Haar measure, the same ones every time) and cz on neighbours in a line.
    """
    circuit = QuantumCircuit(STATE_QUBITS + COIN_QUBITS, name=state)
    circuit.h(range(STATE_QUBITS, STATE_QUBITS + COIN_QUBITS))
    if state == "ghz":
        circuit.h(0)
        for qubit in range(STATE_QUBITS - 1):
            circuit.cx(qubit, qubit + 1)
        return circuit
    seeds = np.random.default_rng(_SEED)
    for layer in range(_LAYERS):
        for qubit in range(STATE_QUBITS):
            circuit.u(*OneQubitEulerDecomposer("U").angles(random_unitary(2, seed=seeds)), qubit)
        for qubit in range(layer % 2, STATE_QUBITS - 1, 2):
            circuit.cz(qubit, qubit + 1)
    return circuit


class EntangledBits:
    """Bits of entangled qubits, for one number on each qubit from 24 shots, qubit after qubit.

    All bits of a shot are turned over or not by one fair bit, which is made of the coins' readings
    by `unbiased_bits`. So each bit is fair, whatever state is measured and however it is read, and
    numbers are normally distributed. Spearman's rank correlation of the numbers of two qubits of
    the same 24 shots is the expectation value of Z Z of these qubits, errors included.

    Attributes:
        name: The backend's name.
    """

    def __init__(self, name: str, read: Read) -> None:
        """Take readings of the qubits of a state and, last, of the coins."""
        self.name, self._read = name, read

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return bits, see `BitSource`.

        Raises:
            QHybridError: The QPU cannot be reached, or its coins are stuck.
        """
        group = _SHOTS_A_NUMBER * STATE_QUBITS
        needed = _SHOTS_A_NUMBER * -(-count // group)
        seeds, tables, flips = SeedSequence(seed), [np.empty((0, STATE_QUBITS), np.uint8)], []
        shots = fair = reads = 0
        while min(shots, fair) < needed:
            missing = max(_LEAST_SHOTS, needed - min(shots, fair))
            purpose = f"{count} entangled bits, part {reads}"
            for table in self._read(missing, seeds.spawn(1)[0], purpose):
                tables.append(table[:, :STATE_QUBITS])
                flips.append(unbiased_bits(table[:, STATE_QUBITS:]))
            shots, fair, reads = sum(map(len, tables)), sum(map(len, flips)), reads + 1
            if not fair and reads == _FRUITLESS:
                raise QHybridError(
                    f"the coins of '{self.name}' read the same every time, which makes no random "
                    "bits; take another backend"
                )
        if not needed:
            return np.empty(0, np.uint8)
        drawn = np.concatenate(tables)[:needed] ^ np.concatenate(flips)[:needed, None]
        grouped = drawn.reshape(-1, _SHOTS_A_NUMBER, STATE_QUBITS).transpose(0, 2, 1)
        return np.ascontiguousarray(grouped).reshape(-1)[:count]
