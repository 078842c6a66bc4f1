"""The record of a round's jobs, and its file."""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qhybrid_circuits import RequestError
from qhybrid_circuits.files import regular, replacing
from qhybrid_runtime.hardware.round_plan import PubPart

#: Version of the files; a reader refuses others.
_VERSION = 1


@dataclass
class JobRecord:
    """One job of a round, from before its submission to its result.

    Attributes:
        parts: The samples of each of its PUBs.
        tag: A tag of the job, by which it is found even if its id was never received.
        estimated_seconds: QPU time that is expected.
        job_id: None until it is submitted.
        failed: Ids of jobs that were submitted for these parts before, and failed.
        spent_seconds: QPU time of this job and of the failed ones, as far as it is known.
        values: Shape (n_samples, n_observables) a part; None until there is a result.
        standard_errors: The same for standard errors.
        readings: Of jobs that read bits, the shots of each PUB, packed, in base64; the values are
            then the share of ones of each qubit.
        sha256: Hash of both tables, and of readings, as JSON; None in records of old versions.
        qpu: The QPU of it, where a round is shared by several. A job whose samples went to other
            QPUs has no parts left.
        readout: Name of the calibration that its values are corrected by; None where the client
            corrects them by one of the job's own.
        learns: Whether the job makes this calibration.
    """

    parts: list[PubPart]
    tag: str
    estimated_seconds: float
    job_id: str | None = None
    failed: list[str] = field(default_factory=list)
    spent_seconds: float = 0.0
    values: list[list[list[float]]] | None = None
    standard_errors: list[list[list[float]]] | None = None
    readings: list[str] | None = None
    sha256: str | None = None
    qpu: str | None = None
    readout: str | None = None
    learns: bool = False

    @property
    def pending_seconds(self) -> float:
        """Expected QPU time of a job that is under way, 0 of any other."""
        under_way = self.job_id is not None and self.values is None
        return self.estimated_seconds if under_way else 0.0

    @property
    def submissions(self) -> int:
        """How often it was submitted."""
        return len(self.failed) + (self.job_id is not None)

    def digest(self) -> str | None:
        """Return the hash of the results; None where there are none."""
        if self.values is None:
            return None
        parts = [self.values, self.standard_errors, self.readings]
        tables = json.dumps(parts if self.readings is not None else parts[:2])
        return hashlib.sha256(tables.encode()).hexdigest()


class RoundRecord:
    """The jobs of one round, in a file that every change is written to at once."""

    def __init__(self, path: Path | None, key: str, jobs: list[JobRecord]) -> None:
        """Record a round's jobs, in the order of submission, under its key; None keeps no file."""
        self.path, self.key, self.jobs = path, key, jobs

    @property
    def finished(self) -> bool:
        """Whether every value is there."""
        return bool(self.jobs) and all(job.values is not None for job in self.jobs)

    def save(self) -> None:
        """Write the record, whole or not at all, and wait until it is on disk."""
        if self.path is None:
            return
        for job in self.jobs:
            job.sha256 = job.sha256 or job.digest()
        jobs = [asdict(job) for job in self.jobs]
        write_record(self.path, {"version": _VERSION, "key": self.key, "jobs": jobs})

    def check(self, samples: Sequence[int], bounds: Sequence[np.ndarray]) -> None:
        """Refuse jobs that cannot be of this round.

        Args:
            samples: How many samples each task has.
            bounds: What no value of a task's observables exceeds in size, (n_observables,) each.
                Values whose hash is on record are those that a QPU returned, and may exceed it.

        Raises:
            RequestError: They are not.
        """
        try:
            done = [0] * len(samples)
            for part in sorted(part for job in self.jobs for part in job.parts):
                if part.start != done[part.task]:
                    raise ValueError(f"samples {part.start} to {part.stop} of circuit {part.task}")
                done[part.task] = part.stop
            if done != list(samples):
                raise ValueError(f"{done} samples of {list(samples)}")
            for job in self.jobs:
                for part, values in zip(job.parts, job.values or (), strict=False):
                    limits = bounds[part.task]
                    if np.shape(values)[1] != len(limits):
                        raise ValueError(
                            f"values of {np.shape(values)[1]} of {len(limits)} outputs"
                        )
                    if job.sha256 is None and (np.abs(values) > limits + 1e-6).any():
                        raise ValueError(f"an expectation value beyond +-{limits.max():g}")
        except (ValueError, IndexError) as error:
            raise damaged(self.path, error) from error


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, whole or not at all, and wait until it is on disk."""
    text = json.dumps(content)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_record(path: Path) -> tuple[str, list[JobRecord]]:
    """Return the key and the jobs of a record.

    Raises:
        RequestError: It cannot be read.
    """
    try:
        content = json.loads(regular(path).read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
        return str(content["key"]), [_job(entry) for entry in content["jobs"]]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise damaged(path, error) from error


def damaged(path: Path | None, why: object) -> RequestError:
    """Return the error of a record that cannot be used, and what to do about it."""
    return RequestError(
        f"the record '{path}' of jobs on a device cannot be read ({why}); restore it, or "
        "move it away to have its round run, and paid, again"
    )


def _job(entry: dict[str, Any]) -> JobRecord:
    job = JobRecord(**entry)
    job.parts = [PubPart(*part) for part in entry["parts"]]
    for part in job.parts:
        whole = all(type(number) is int for number in part)
        positive = whole and min(part.task, part.start, part.copies - 1) >= 0
        if not (positive and part.start < part.stop):
            raise ValueError(f"samples {list(part)}")
    for name in ("spent_seconds", "estimated_seconds"):
        value = getattr(job, name)
        if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}")
    names = [name for name in (job.job_id, job.qpu) if name is not None]
    texts = [job.tag, *job.failed, *names]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("an id is not a text")
    if not isinstance(job.learns, bool) or not (
        isinstance(job.readout, str) or (job.readout is None and not job.learns)
    ):
        raise ValueError(f"its calibration of readout is {job.readout!r}")
    if (job.values is None) != (job.standard_errors is None):
        raise ValueError("values without standard errors, or these alone")
    if job.values is not None and job.standard_errors is not None:
        both = zip(job.parts, job.values, job.standard_errors, strict=True)
        for part, values, errors in both:
            _check_tables(part.stop - part.start, np.array(values), np.array(errors))
    if job.sha256 not in (None, job.digest()):
        raise ValueError("its values are not those whose hash was written with them")
    return job


def _check_tables(samples: int, values: np.ndarray, errors: np.ndarray) -> None:
    """Refuse values and standard errors (n_samples, n_observables) that no job returns."""
    if not {values.dtype.kind, errors.dtype.kind} <= {"i", "f"}:
        raise ValueError("a value is not a number")
    if values.ndim != 2 or len(values) != samples or errors.shape != values.shape:
        raise ValueError(f"values {values.shape} and errors {errors.shape} of {samples} samples")
    if not np.isfinite(values).all() or (errors < 0).any():
        raise ValueError("a value is not finite, or a standard error is negative")
