"""What runs jobs: the service's client, or the simulator that stands in for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.round_plan import LoweredPub

#: Values and standard errors of a PUB, shape (n_observables, n_rows) each.
Tables = tuple[np.ndarray, np.ndarray]

Pubs = Sequence[LoweredPub]

#: Is called with a job's status and the number of jobs in the queue, if that is known.
Notify = Callable[[str, int | None], None]


class JobFailed(Exception):
    """The end of a job without a result; the message says why.

    Attributes:
        lasting: Whether the same job would fail again.
        advice: What to do about one that would.
    """

    def __init__(
        self,
        message: str,
        *,
        lasting: bool = False,
        advice: str = "start anew with fewer --shots, or on another --backend",
    ) -> None:
        """Say why, and whether it is worth another try."""
        super().__init__(message)
        self.lasting, self.advice = lasting, advice


@dataclass(frozen=True)
class JobEvent:
    """A change of a job's state, for displays of progress.

    Attributes:
        job_id: The service's id of the job.
        status: "SUBMITTED", "RESUMED", "FAILED", "DONE", or what the service says while waiting.
        pending_jobs: Jobs in the QPU's queue, or None where it is not known.
        spent_seconds: QPU seconds so far, those of jobs under way at their estimate.
    """

    job_id: str
    status: str
    pending_jobs: int | None
    spent_seconds: float


class JobClient(Protocol):
    """Submits jobs to a QPU and waits for them; finds no earlier ones unless it is overridden."""

    def submit(self, pubs: Pubs, settings: PrimitiveSettings, tag: str, seconds: float) -> str:
        """Submit a job and return its id, or that of the job that has this tag already.

        `seconds` is the QPU time that is expected.
        """

    def find(self, tag: str) -> str | None:
        """Return the id of the job that was submitted with a tag, or None."""
        return None

    def wait(
        self, job_id: str, pubs: Pubs, settings: PrimitiveSettings, notify: Notify
    ) -> list[Tables]:
        """Return the values of each PUB of a job of this process or of an earlier one.

        `pubs` and `settings` are those that the job was submitted with.

        Raises:
            JobFailed: It failed, was cancelled, took too long or does not exist.
        """

    def spent_seconds(self, job_id: str) -> float | None:
        """Return the QPU time of a job that has ended, or None where it is not known."""
        return None

    def at_round(self, number: int) -> None:
        """Let what is random from now on follow from this number; see `Backend.at_round`."""
        return None

    def close(self) -> None:
        """Give back what is held on the QPU; here nothing is."""
        return None
