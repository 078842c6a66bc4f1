import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from qhybrid_circuits.files import regular
from qhybrid_runtime.hardware.readout import ReadoutCalibration
from qhybrid_runtime.hardware.records import RoundRecord, damaged, read_record, write_record


class Spent(NamedTuple):
    """What was spent on a QPU: submissions, failed ones included, and QPU seconds."""

    jobs: int
    seconds: float


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
        self._open: dict[str, RoundRecord] = {}
        self._earlier: dict[str, RoundRecord] | None = None
        self._closed: dict[str | None, Spent] = {}
        self._rounds = 0
        self._session_id: str | None = None
        self._calibrations: dict[str, ReadoutCalibration] | None = None

    def keep_in(self, folder: Path) -> None:
        """Keep files in a folder from now on, where those of earlier processes are; once."""
        self._folder, self._earlier = folder, None

    def round(self, key: str) -> RoundRecord:
        """Return the record of a round, as far as it got in this or an earlier process.

        Raises:
            RequestError: A file of the ledger cannot be read, or holds something else.
        """
        name = f"round-{key[:24]}-{self._finished[key]}"
        if name not in self._open:
            path = None if self._folder is None else self._folder / f"{name}.json"
            known = self._of_earlier_processes().pop(name, None)
            if known is not None:
                self._count(known, -1)
            record = known or RoundRecord(path, key, [])
            if record.key != key:
                raise damaged(path, "it is the record of another round")
            self._open[name] = record
        return self._open[name]

    def close(self, record: RoundRecord) -> None:
        """Note that a round's values are in use: the next one like it is another round."""
        self._open = {name: each for name, each in self._open.items() if each is not record}
        self._count(record, 1)
        if self._folder is not None:
            self._finished[record.key] += 1

    @property
    def spent_seconds(self) -> float:
        """QPU seconds of all jobs, those under way at their estimate."""
        return sum(spent.seconds for spent in self.by_qpu.values())

    @property
    def estimated_seconds(self) -> float:
        """QPU seconds that were expected of all submissions in the files, failed ones included."""
        paths = [] if self._folder is None else self._folder.glob("round-*.json")
        jobs = [job for path in paths for job in read_record(path)[1]]
        return sum(job.estimated_seconds * job.submissions for job in jobs)

    @property
    def num_jobs(self) -> int:
        """Submissions, failed ones included."""
        return sum(spent.jobs for spent in self.by_qpu.values())

    @property
    def by_qpu(self) -> dict[str | None, Spent]:
        """What was spent on each QPU, under None where a round is not shared."""
        self._of_earlier_processes()
        spent = dict(self._closed)
        for record in self._open.values():
            _count(spent, record, 1)
        return spent

    @property
    def num_rounds(self) -> int:
        """Rounds that were run, in earlier processes too."""
        self._of_earlier_processes()
        return self._rounds + len(self._open)

    @property
    def session_id(self) -> str | None:
        """The session or batch that jobs went to last, unless it was closed."""
        if self._session_id is None and self._folder is not None:
            path = self._folder / "session.json"
            try:
                self._session_id = str(json.loads(regular(path).read_text(encoding="utf-8"))["id"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                return None  # Another one is opened then.
        return self._session_id

    @session_id.setter
    def session_id(self, session_id: str | None) -> None:
        self._session_id = session_id
        if self._folder is not None:
            path = self._folder / "session.json"
            if session_id is None:
                path.unlink(missing_ok=True)
            else:
                write_record(path, {"id": session_id})

    @property
    def has_files(self) -> bool:
        """Whether there is a folder that another process can read."""
        return self._folder is not None

    def calibration(self, name: str) -> ReadoutCalibration:
        """Return a calibration of readout by its name.

        Raises:
            RequestError: It is not on record.
        """
        known = self._known_calibrations().get(name)
        if known is None:
            raise damaged(self._readout_file, f"the calibration '{name}' is missing")
        return known

    def fresh_calibration(self) -> str | None:
        """Return the name of the latest calibration of readout if it is fresh, or None."""
        known = list(self._known_calibrations().values())
        return known[-1].name if known and known[-1].fresh else None

    def keep_calibration(self, made: ReadoutCalibration) -> None:
        """Put a calibration of readout on record."""
        known = self._known_calibrations()
        known[made.name] = made
        if self._readout_file is not None:
            write_record(
                self._readout_file, {"calibrations": [asdict(each) for each in known.values()]}
            )

    @property
    def _readout_file(self) -> Path | None:
        return None if self._folder is None else self._folder / "readout.json"

    def _known_calibrations(self) -> dict[str, ReadoutCalibration]:
        if self._calibrations is None:
            path, self._calibrations = self._readout_file, {}
            if path is not None and path.exists():
                try:
                    content = json.loads(regular(path).read_text(encoding="utf-8"))
                    known = [ReadoutCalibration.read(each) for each in content["calibrations"]]
                except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                    raise damaged(path, error) from error
                self._calibrations = {each.name: each for each in known}
        return self._calibrations

    def _of_earlier_processes(self) -> dict[str, RoundRecord]:
        """Return the records of earlier processes by their names, read and summed up once."""
        if self._earlier is None:
            folder = self._folder
            paths = [] if folder is None else sorted(folder.glob("round-*.json"))
            self._earlier = {path.stem: RoundRecord(path, *read_record(path)) for path in paths}
            for record in self._earlier.values():
                self._count(record, 1)
        return self._earlier

    def _count(self, record: RoundRecord, sign: int) -> None:
        _count(self._closed, record, sign)
        self._rounds += sign


def _count(spent: dict[str | None, Spent], record: RoundRecord, sign: int) -> None:
    """Add a round's jobs to what was spent, or take them off."""
    for job in record.jobs:
        before = spent.get(job.qpu, Spent(0, 0.0))
        seconds = job.spent_seconds + job.pending_seconds
        spent[job.qpu] = Spent(
            before.jobs + sign * job.submissions, before.seconds + sign * seconds
        )
