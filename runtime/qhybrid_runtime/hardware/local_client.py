import uuid
from dataclasses import replace

import numpy as np
from qiskit.transpiler import Target

from qhybrid_circuits.caching import Cache
from qhybrid_circuits.lowering.targets import restricted_target
from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.ibm_primitives import Submit, primitive_values, run_primitive
from qhybrid_runtime.hardware.job_client import JobClient, JobFailed, Notify, Pubs, Tables
from qhybrid_runtime.hardware.round_plan import LoweredPub

#: Simulators that a client keeps: each knows the noise of the qubits of one circuit.
_KEPT = 64


class LocalClient(JobClient):
    """Runs jobs on this machine, in the local mode of qiskit-ibm-runtime.

    Everything is as on the QPU, the primitives' own processing included, except that a simulator
    runs the circuits. Each circuit runs on a target of only the qubits that it uses, so that one
    job of a round becomes a call of the primitive for each of its circuits: the primitive measures,
    and mitigates, all qubits of a target, which would take forever for 156 of them. Circuits side
    by side stay one circuit with one bill; the simulator separates them.
    """

    def __init__(
        self, target: Target, *, seed: int | None = None, run: Submit = run_primitive
    ) -> None:
        """Simulate a QPU, seeded by the operating system where `seed` is omitted.

        Gates without calibration data count as free of noise.
        """
        self._target, self._run = target, run
        self._seeds = self._all_seeds = np.random.SeedSequence(seed)
        self._simulators: Cache[RegionSimulator] = Cache(_KEPT)
        self._results: dict[str, list[Tables]] = {}

    def submit(self, pubs: Pubs, settings: PrimitiveSettings, tag: str, seconds: float) -> str:
        """Run a job to its end."""
        job_id = f"local-{uuid.uuid4().hex[:12]}"
        self._results[job_id] = [self._tables(pub, settings) for pub in pubs]
        return job_id

    def wait(
        self, job_id: str, pubs: Pubs, settings: PrimitiveSettings, notify: Notify
    ) -> list[Tables]:
        """Return the values of a job of this process."""
        if job_id not in self._results:
            raise JobFailed("it ran in another process, which has ended")
        return self._results.pop(job_id)

    def at_round(self, number: int) -> None:
        """Go on with the shots of this round."""
        self._seeds = np.random.SeedSequence(self._all_seeds.entropy, spawn_key=(number,))

    def _tables(self, pub: LoweredPub, settings: PrimitiveSettings) -> Tables:
        small = compacted(pub)
        seed = int(self._seeds.spawn(1)[0].generate_state(1)[0] >> 1)
        qubits = pub.lowered.qubits
        simulator = self._simulators.get(
            qubits, lambda: RegionSimulator(restricted_target(self._target, qubits))
        )
        job = self._run(simulator, [small], settings, seed=seed)
        return primitive_values(job.result(), [small], settings)[0]


def compacted(pub: LoweredPub) -> LoweredPub:
    """Return the PUB for a target that has only the qubits in use."""
    circuit, final_layout = pub.lowered.compact()
    qubits = tuple(range(circuit.num_qubits))
    lowered = replace(pub.lowered, circuit=circuit, qubits=qubits, final_layout=final_layout)
    return replace(pub, lowered=lowered)
