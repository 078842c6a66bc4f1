from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from qiskit import transpile
from qiskit.transpiler import Target

from qhybrid_circuits import QHybridError
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.accounts import speaking_to_service
from qhybrid_runtime.hardware.readings import PUB_EXECUTIONS
from qhybrid_runtime.randomness.coins import Read, coin_circuit, shot_bits
from qhybrid_runtime.randomness.cost import executions_for
from qhybrid_runtime.randomness.extraction import unbiased_bits

#: Qubits whose readings are worse than this are hardly coins at all.
_WORST_READOUT = 0.4

#: Runs in a row that may yield nothing.
_FRUITLESS = 3


class QpuBits:
    """Readings of a noisy QPU, made fair by von Neumann's procedure as Peres iterates it.

    Readout errors and relaxation make 0 likelier than 1; see `unbiased_bits` for what is removed.

    Attributes:
        name: The backend's name.
        qubits: The physical qubits that are read.
    """

    def __init__(self, name: str, qubits: Sequence[int], read: Read) -> None:
        """Take the readings of some physical qubits, a coin each."""
        self.name, self.qubits, self._read = name, tuple(qubits), read

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return fair bits, see `BitSource`.

        Raises:
            QHybridError: The QPU cannot be reached, or all of its qubits are stuck.
        """
        seeds = SeedSequence(seed)
        parts: list[np.ndarray] = []
        missing, fruitless, number = count, 0, 0
        while missing > 0:
            shots = executions_for(missing, len(self.qubits))
            reads = self._read(shots, seeds.spawn(1)[0], f"{count} fair bits, part {number}")
            # Last qubit first, so that seeds give the bits that they always gave.
            parts += (unbiased_bits(table[:, ::-1]) for table in reads)
            found = sum(map(len, parts[-len(reads) :]))
            missing, number = missing - found, number + 1
            fruitless = 0 if found else fruitless + 1
            if fruitless == _FRUITLESS:
                raise QHybridError(
                    f"the qubits of '{self.name}' read the same every time, which makes no random "
                    "bits; take another backend"
                )
        return np.concatenate([np.empty(0, np.uint8), *parts])[:count]


def coins_on(target: Target, qubits: Sequence[int]) -> LoweredCircuit:
    """Return a coin on each of some physical qubits, in the gates of a target."""
    coins = coin_circuit(len(qubits)).remove_final_measurements(inplace=False)
    layout = list(qubits)
    lowered = transpile(coins, target=target, initial_layout=layout, optimization_level=1)
    return LoweredCircuit("coins", lowered, tuple(sorted(qubits)), tuple(qubits), False, None)


def simulated_reading(name: str, simulator: Any, lowered: LoweredCircuit) -> Read:
    """Return what reads a circuit by the client's sampler in local mode."""
    circuit = lowered.circuit.copy()
    circuit.measure_all()
    final = list(lowered.final_layout)

    def read(shots: int, seed: SeedSequence, purpose: str) -> list[np.ndarray]:
        runs = max(1, -(-shots // PUB_EXECUTIONS))
        size, found = -(-shots // runs), []
        with speaking_to_service(f"measure random bits on '{name}'"):
            from qiskit_ibm_runtime.executor_sampler import Sampler

            # Local mode simulates every PUB of a job with one seed: they would all read the same.
            for run_seed in seed.generate_state(runs, np.uint64):
                options = {"simulator": {"seed_simulator": int(run_seed >> 1)}}
                result = Sampler(mode=simulator, options=options).run([(circuit,)], shots=size)
                array = result.result()[0].data.meas.array
                # Qiskit's bytes hold the last qubit first.
                found.append(shot_bits(array, circuit.num_qubits)[:, ::-1][:, final])
        return [np.concatenate(found)]

    return read


def readable_qubits(target: Target) -> tuple[int, ...]:
    """Return the qubits that can be told to be 0 or 1, the most reliably read ones first."""
    known = (target["measure"] or {}).items()
    errors = {qubit: (properties and properties.error) or 0.0 for (qubit,), properties in known}
    good = [qubit for qubit, error in errors.items() if error <= _WORST_READOUT]
    return tuple(sorted(good or errors, key=lambda qubit: (errors[qubit], qubit)))
