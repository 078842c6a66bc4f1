from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.transpiler import Target

from qhybrid_circuits import QHybridError
from qhybrid_runtime.hardware.accounts import speaking_to_service
from qhybrid_runtime.hardware.billing import MOST_EXECUTIONS, execution_limit, job_seconds
from qhybrid_runtime.randomness.coins import coin_circuit, shot_bits
from qhybrid_runtime.randomness.cost import executions_for
from qhybrid_runtime.randomness.extraction import unbiased_bits

#: Qubits whose readings are worse than this are hardly coins at all.
_WORST_READOUT = 0.4

#: Executions of a PUB: IBM's QPUs allow no more.
_PUB_EXECUTIONS = 100_000

#: Runs in a row that may yield nothing.
_FRUITLESS = 3


class QpuBits:
    """Readings of a noisy QPU, made fair by von Neumann's procedure as Peres iterates it.

    Readout errors and relaxation make 0 likelier than 1; see `unbiased_bits` for what is removed.

    Attributes:
        name: The backend's name.
        qubits: The physical qubits that are read.
    """

    def __init__(
        self, name: str, mode: Any, target: Target, qubits: Sequence[int], *, simulated: bool
    ) -> None:
        """Lower the circuit for some physical qubits of a target.

        `mode` is the backend or simulator that the client's sampler runs on.
        """
        self.name, self.qubits = name, tuple(qubits)
        self._mode, self._simulated = mode, simulated
        coins, layout = coin_circuit(len(self.qubits)), list(self.qubits)
        self._circuit: QuantumCircuit = transpile(
            coins, target=target, initial_layout=layout, optimization_level=1
        )

    def bits(self, count: int, seed: int) -> np.ndarray:
        """Return fair bits, see `BitSource`.

        Raises:
            QHybridError: The QPU cannot be reached, or all of its qubits are stuck.
        """
        seeds = np.random.SeedSequence(seed)
        parts: list[np.ndarray] = []
        missing, fruitless = count, 0
        while missing > 0:
            reads = self._read(executions_for(missing, len(self.qubits)), seeds.spawn(1)[0])
            parts.append(unbiased_bits(reads))
            missing -= len(parts[-1])
            fruitless = 0 if len(parts[-1]) else fruitless + 1
            if fruitless == _FRUITLESS:
                raise QHybridError(
                    f"the qubits of '{self.name}' read the same every time, which makes no random "
                    "bits; take another backend"
                )
        return np.concatenate([np.empty(0, np.uint8), *parts])[:count]

    def _read(self, shots: int, seed: np.random.SeedSequence) -> np.ndarray:
        """Return the readings, uint8 (shots, n_qubits)."""
        size, jobs = self._jobs(shots)
        data = []
        with speaking_to_service(f"measure random bits on '{self.name}'"):
            from qiskit_ibm_runtime.executor_sampler import Sampler

            for pubs, job_seed in zip(jobs, seed.generate_state(len(jobs), np.uint64), strict=True):
                options: dict[str, Any] = {"simulator": {"seed_simulator": int(job_seed >> 1)}}
                if not self._simulated:
                    options["max_execution_time"] = execution_limit(job_seconds(pubs * size))
                sampler = Sampler(mode=self._mode, options=options)
                results = sampler.run([(self._circuit,)] * pubs, shots=size).result()
                data += [result.data.meas.array for result in results]
        return np.concatenate([shot_bits(array, len(self.qubits)) for array in data])

    def _jobs(self, shots: int) -> tuple[int, list[int]]:
        """Return the executions of a PUB, which all of a job share, and the PUBs of each job."""
        pubs = -(-shots // _PUB_EXECUTIONS)
        # Local mode simulates every PUB of a job with one seed: they would all read the same.
        a_job = 1 if self._simulated else MOST_EXECUTIONS // _PUB_EXECUTIONS
        return -(-shots // pubs), [min(a_job, pubs - first) for first in range(0, pubs, a_job)]


def readable_qubits(target: Target) -> tuple[int, ...]:
    """Return the qubits that can be told to be 0 or 1, the most reliably read ones first."""
    known = (target["measure"] or {}).items()
    errors = {qubit: (properties and properties.error) or 0.0 for (qubit,), properties in known}
    good = [qubit for qubit, error in errors.items() if error <= _WORST_READOUT]
    return tuple(sorted(good or errors, key=lambda qubit: (errors[qubit], qubit)))
