"""How long the jobs of a round that QPUs share have waited, and how long they may."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from qhybrid_runtime.hardware.records import JobRecord

#: Without a limit of the user's, a job that waits is taken elsewhere after so many times what the
#: slowest job of the round took that has ended, and so many seconds at least.
_PATIENCE, _LEAST_PATIENCE_SECONDS = 3.0, 60.0


class Waits:
    """How long a round's jobs have waited, in seconds, and how often they failed, by their ids."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str | None, float] = defaultdict(float)
        self._slowest = 0.0
        self.failures: Counter[int] = Counter()

    def add(self, jobs: Sequence[JobRecord], seconds: float) -> None:
        """Note that these waited on."""
        for job in jobs:
            self._seconds[job.job_id] += seconds

    def of(self, job: JobRecord) -> float:
        """Return how long a job has waited."""
        return self._seconds[job.job_id]

    def ended(self, job: JobRecord) -> None:
        """Note that a job's values came."""
        self._slowest = max(self._slowest, self._seconds[job.job_id])

    def patience(self) -> float:
        """Return how long a job may wait once others have ended."""
        return max(_LEAST_PATIENCE_SECONDS, _PATIENCE * self._slowest)
