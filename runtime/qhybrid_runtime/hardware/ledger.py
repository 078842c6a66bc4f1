import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    """

    parts: list[PubPart]
    tag: str
    estimated_seconds: float
    job_id: str | None = None
    failed: list[str] = field(default_factory=list)
    spent_seconds: float = 0.0
    values: list[list[list[float]]] | None = None
    standard_errors: list[list[list[float]]] | None = None

    @property
    def pending_seconds(self) -> float:
        """Expected QPU time of a job that is under way, 0 of any other."""
        under_way = self.job_id is not None and self.values is None
        return self.estimated_seconds if under_way else 0.0


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
        text = json.dumps(
            {"version": _VERSION, "key": self.key, "jobs": [asdict(job) for job in self.jobs]}
        )
        with replacing(self.path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


class Ledger:
    """The record of everything that was submitted to a QPU, one small file a round.

    A round is identified by a key: a hash of its circuits, inputs, precision and options. A program
    that starts again with the same ledger runs the same rounds in the same order; those that are
    finished cost nothing, and jobs that were submitted are fetched by their ids. A round that is
    run twice is recorded twice, as its shots are drawn twice.
    """

    def __init__(self, folder: Path | str | None) -> None:
        """Open a ledger in a folder, made when there is something to write; None keeps no files."""
        self._folder = None if folder is None else Path(folder)
        self._finished: Counter[str] = Counter()
        self._kept: dict[str, RoundRecord] = {}
        self._forgotten_seconds, self._forgotten_jobs = 0.0, 0

    def round(self, key: str) -> RoundRecord:
        """Return the record of a round, as far as it got in this or an earlier process.

        Raises:
            RequestError: Its file cannot be read, or holds something else.
        """
        name = f"round-{key[:24]}-{self._finished[key]}"
        if name not in self._kept:
            path = None if self._folder is None else self._folder / f"{name}.json"
            jobs = _read(path)[1] if path is not None and path.exists() else []
            self._kept[name] = RoundRecord(path, key, jobs)
        return self._kept[name]

    def close(self, record: RoundRecord) -> None:
        """Note that a round's values are in use: the next one like it is another round."""
        if self._folder is not None:
            self._finished[record.key] += 1
            return
        # In memory only the sums are of use: a training run has too many rounds to keep.
        self._kept.clear()
        self._forgotten_seconds += sum(job.spent_seconds for job in record.jobs)
        self._forgotten_jobs += sum(_submissions(job) for job in record.jobs)

    @property
    def spent_seconds(self) -> float:
        """QPU seconds of all jobs, those under way at their estimate."""
        kept = sum(job.spent_seconds + job.pending_seconds for job in self._jobs())
        return self._forgotten_seconds + kept

    @property
    def num_jobs(self) -> int:
        """Submissions, failed ones included."""
        return self._forgotten_jobs + sum(_submissions(job) for job in self._jobs())

    def _jobs(self) -> Iterator[JobRecord]:
        if self._folder is not None and self._folder.is_dir():
            for path in sorted(self._folder.glob("round-*.json")):
                if path.stem not in self._kept:
                    # Of an earlier process; read once.
                    self._kept[path.stem] = RoundRecord(path, *_read(path))
        for record in self._kept.values():
            yield from record.jobs


def _submissions(job: JobRecord) -> int:
    return len(job.failed) + (job.job_id is not None)


def _read(path: Path) -> tuple[str, list[JobRecord]]:
    """Return the key and the jobs of a record."""
    try:
        content = json.loads(regular(path).read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
        return str(content["key"]), [_job(entry) for entry in content["jobs"]]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RequestError(
            f"the record '{path}' of jobs on a device cannot be read ({error}); restore it, or "
            "move it away to have its round run, and paid, again"
        ) from error


def _job(entry: dict[str, Any]) -> JobRecord:
    job = JobRecord(**entry)
    job.parts = [PubPart(*map(int, part)) for part in entry["parts"]]
    job.spent_seconds = float(job.spent_seconds)
    job.estimated_seconds = float(job.estimated_seconds)
    for table in (job.values, job.standard_errors):
        if table is not None and len(table) != len(job.parts):
            raise ValueError(f"{len(table)} results for {len(job.parts)} parts")
    return job
