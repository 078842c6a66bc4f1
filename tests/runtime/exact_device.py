"""A device without noise whose values are exact: for what must not depend on shots."""

from collections.abc import Callable, Sequence

import numpy as np
from qiskit.primitives import StatevectorEstimator

from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.job_client import JobClient, Tables
from qhybrid_runtime.hardware.local_client import compacted
from qhybrid_runtime.hardware.round_plan import LoweredPub


class ExactClient(JobClient):
    """Answers jobs with Qiskit's reference estimator.

    Attributes:
        jobs: The PUBs of every job, in order.
    """

    def __init__(self) -> None:
        self.jobs: list[list[LoweredPub]] = []

    def submit(
        self, pubs: Sequence[LoweredPub], settings: PrimitiveSettings, tag: str, seconds: float
    ) -> str:
        self.jobs.append(list(pubs))
        return str(len(self.jobs) - 1)

    def find(self, tag: str) -> str | None:
        return None

    def wait(
        self,
        job_id: str,
        pubs: Sequence[LoweredPub],
        settings: PrimitiveSettings,
        notify: Callable[[str, int | None], None],
    ) -> list[Tables]:
        return [_values(compacted(pub)) for pub in self.jobs[int(job_id)]]

    def spent_seconds(self, job_id: str) -> float | None:
        return None


def _values(pub: LoweredPub) -> Tables:
    column = [[pub.lowered.apply_layout(observable)] for observable in pub.observables]
    result = StatevectorEstimator().run([(pub.lowered.circuit, column, pub.values)]).result()
    values = np.asarray(result[0].data.evs)
    return values, np.full(values.shape, 0.25)
