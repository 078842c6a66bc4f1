from functools import cached_property

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.randomness.coins import Read, coin_circuit, shot_bits

#: Qubits of the engine's circuit: the probabilities of its outcomes fit into a processor's cache.
#: Readings are put together as 16-bit words.
_ENGINE_QUBITS = 16

#: Qubits of Aer's circuit: a shot takes about as long whatever their number, but outcomes are
#: counted in a table that is slower the larger it is.
_AER_QUBITS = 12


def engine_reading(circuit: QuantumCircuit) -> Read:
    """Return what reads a circuit's state that qhybrid's engine computes, by Born's rule."""
    probabilities = np.abs(_amplitudes(circuit)) ** 2
    size = circuit.num_qubits

    def read(shots: int, seed: np.random.SeedSequence, purpose: str) -> list[np.ndarray]:
        drawn = np.random.default_rng(seed).choice(
            len(probabilities), shots, p=probabilities / probabilities.sum()
        )
        return [(drawn[:, None] >> np.arange(size) & 1).astype(np.uint8)]

    return read


def aer_reading(circuit: QuantumCircuit) -> Read:
    """Return what reads a circuit by Aer's SamplerV2 without noise."""
    from qiskit_aer.primitives import SamplerV2

    measured = circuit.measure_all(inplace=False)
    backend = {"method": "statevector", "max_parallel_threads": 1}

    def read(shots: int, seed: np.random.SeedSequence, purpose: str) -> list[np.ndarray]:
        number = int(seed.generate_state(1)[0] >> 1)
        sampler = SamplerV2(seed=number, options={"backend_options": backend})
        array = sampler.run([measured], shots=shots).result()[0].data.meas.array
        return [shot_bits(array, circuit.num_qubits)[:, ::-1]]

    return read


def _amplitudes(circuit: QuantumCircuit) -> np.ndarray:
    """Return the state (2**n_qubits,) of a circuit without parameters, by qhybrid's engine."""
    from qhybrid_runtime.health.states import states

    anything = SparsePauliOp("I" * circuit.num_qubits)
    whole = VariationalCircuit(circuit.name, circuit, (), (), (anything,))
    nothing = torch.zeros((1, 1, 0), dtype=torch.float64)
    return np.asarray(states(whole, nothing, nothing[0])[0, 0])


class EngineBits:
    """Readings of the state that qhybrid's engine computes, drawn by Born's rule.

    Nothing is biased here, so every bit is taken as it is read.

    Attributes:
        name: The backend's name.
    """

    name = "statevector"

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return fair bits, see `BitSource`."""
        shots = -(-count // _ENGINE_QUBITS)
        uniform = np.random.default_rng(seed).random(shots)
        outcomes = np.searchsorted(self._cumulative, uniform, side="right")
        # The sum of the probabilities may be less than 1 by a rounding error.
        words = outcomes.clip(max=len(self._cumulative) - 1).astype(">u2")
        return np.unpackbits(words.view(np.uint8))[:count]

    @cached_property
    def _cumulative(self) -> np.ndarray:
        """Sums of the outcomes' probabilities, shape (2**n_qubits,)."""
        circuit = coin_circuit(_ENGINE_QUBITS).remove_final_measurements(inplace=False)
        return np.asarray(np.cumsum(np.abs(_amplitudes(circuit)) ** 2))


class AerBits:
    """Readings by Aer's SamplerV2 without noise; every bit is taken as it is read.

    Attributes:
        name: The backend's name.
    """

    name = "aer"

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return fair bits, see `BitSource`."""
        from qiskit_aer.primitives import SamplerV2

        shots = max(1, -(-count // _AER_QUBITS))
        # Threads would only wait for each other on so few qubits.
        backend = {"method": "statevector", "max_parallel_threads": 1}
        sampler = SamplerV2(seed=seed, options={"backend_options": backend})
        result = sampler.run([coin_circuit(_AER_QUBITS)], shots=shots).result()
        return shot_bits(result[0].data.meas.array, _AER_QUBITS).reshape(-1)[:count]
