import uuid
from typing import Any

from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2

from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.ibm_primitives import (
    measured_circuit,
    precision_for,
    primitive_values,
)
from qhybrid_runtime.hardware.job_client import JobClient, JobFailed, Notify, Pubs, Tables


class BackendClient(JobClient):
    """Runs jobs on any Qiskit `BackendV2`, by the primitives that Qiskit has for such.

    A job of another process cannot be fetched: its PUBs are run again.
    """

    def __init__(self, backend: Any) -> None:
        """Run jobs on a backend."""
        self._backend = backend
        self._jobs: dict[str, Any] = {}

    def submit(self, pubs: Pubs, settings: PrimitiveSettings, tag: str, seconds: float) -> str:
        """Submit a job and return its id."""
        values = [[pub.values] if pub.values.shape[1] else [] for pub in pubs]
        if settings.primitive == "sampler":
            measured = [(measured_circuit(p), *v) for p, v in zip(pubs, values, strict=True)]
            job = BackendSamplerV2(backend=self._backend).run(measured, shots=settings.shots)
        else:
            asked = [
                (pub.lowered.circuit, [[pub.lowered.apply_layout(o)] for o in pub.observables], *v)
                for pub, v in zip(pubs, values, strict=True)
            ]
            estimator = BackendEstimatorV2(backend=self._backend)
            job = estimator.run(asked, precision=precision_for(settings))
        job_id = f"backend-{uuid.uuid4().hex[:12]}"
        self._jobs[job_id] = job
        return job_id

    def wait(
        self, job_id: str, pubs: Pubs, settings: PrimitiveSettings, notify: Notify
    ) -> list[Tables]:
        """Return the values of a job of this process.

        Raises:
            JobFailed: The backend raised something, or the job is not of this process.
        """
        if job_id not in self._jobs:
            raise JobFailed("it ran in another process, which has ended")
        try:
            result = self._jobs.pop(job_id).result()
        except Exception as error:
            # Providers raise whatever they like.
            raise JobFailed(f"{type(error).__name__}: {error}") from error
        return primitive_values(result, pubs, settings)
