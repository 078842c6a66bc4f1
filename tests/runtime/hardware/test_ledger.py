import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from qhybrid_circuits import RequestError
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.records import JobRecord
from qhybrid_runtime.hardware.round_plan import PubPart


def planned(ledger: Ledger, key: str = "a" * 64):
    record = ledger.round(key)
    record.jobs = [JobRecord([PubPart(0, 0, 2, 1)], tag="one", estimated_seconds=3.0)]
    record.save()
    return record


def finish(ledger: Ledger, record) -> None:
    job = record.jobs[0]
    job.job_id, job.spent_seconds = "id", 2.5
    job.values, job.standard_errors = [[[0.1], [1 / 3]]], [[[0.01], [0.02]]]
    record.save()
    ledger.close(record)


def test_what_was_recorded_is_there_in_the_next_process(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    record = planned(first)
    record.jobs[0].job_id = "id"
    record.save()
    assert first.spent_seconds == 3.0
    again = Ledger(tmp_path).round("a" * 64)
    assert again.jobs == record.jobs
    assert not again.finished
    finish(first, record)
    second = Ledger(tmp_path)
    assert (second.spent_seconds, second.num_jobs) == (2.5, 1)
    done = second.round("a" * 64)
    assert done.finished
    # Every bit: the rounds that follow are known by what these values lead to.
    assert done.jobs[0].values == [[[0.1], [1 / 3]]]


def test_a_round_that_is_asked_for_twice_is_recorded_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    finish(ledger, planned(ledger))
    assert not ledger.round("a" * 64).jobs
    finish(ledger, planned(ledger))
    again = Ledger(tmp_path)
    assert again.num_jobs == 2
    for _ in range(2):
        record = again.round("a" * 64)
        assert record.finished
        again.close(record)
    assert not again.round("a" * 64).jobs


def test_a_folder_is_made_when_there_is_something_to_write(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs")
    ledger.round("b" * 64)
    assert not (tmp_path / "jobs").exists()
    planned(ledger)
    assert [path.suffix for path in (tmp_path / "jobs").iterdir()] == [".json"]


def test_half_a_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = planned(Ledger(tmp_path))
    before = record.path.read_text()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    record.jobs[0].job_id = "id"
    with pytest.raises(KeyboardInterrupt):
        record.save()
    assert record.path.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [record.path.name]


def test_without_a_folder_only_the_sums_are_kept() -> None:
    ledger = Ledger(None)
    for _ in range(3):
        finish(ledger, planned(ledger))
    assert (ledger.spent_seconds, ledger.num_jobs) == (7.5, 3)
    assert not ledger.round("a" * 64).jobs


JOB = {"parts": [[0, 0, 2, 1]], "tag": "one", "estimated_seconds": 3.0}
DONE = {**JOB, "job_id": "id", "values": [[[0.1], [0.2]]], "standard_errors": [[[0.1], [0.1]]]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"version": 9, "key": "", "jobs": []}',
        {"jobs": 3},
        {"jobs": [{"tag": "one"}]},
        {"jobs": [{**JOB, "colour": "red"}]},
        {"jobs": [{**JOB, "parts": [[0, 0]]}]},
        {"jobs": [{**JOB, "parts": [[0, 0, 1e999, 1]]}]},
        {"jobs": [{**JOB, "spent_seconds": None}]},
        {"jobs": [{**JOB, "values": []}]},
        {"jobs": [{**JOB, "estimated_seconds": -3.0}]},
        {"jobs": [{**JOB, "spent_seconds": math.nan}]},
        {"jobs": [{**JOB, "tag": 3}]},
        {"jobs": [{**JOB, "parts": [[0, 0, 2.5, 1]]}]},
        {"jobs": [{**JOB, "parts": [[0, 2, 0, 1]]}]},
        {"jobs": [{**DONE, "standard_errors": None}]},
        {"jobs": [{**DONE, "values": [[[0.1], [math.nan]]]}]},
        {"jobs": [{**DONE, "values": [[[0.1], ["0.2"]]]}]},
        {"jobs": [{**DONE, "values": [[[0.1], [True, 1]]]}]},
        {"jobs": [{**DONE, "values": [[[0.1], [0.2], [0.3]]]}]},
        {"jobs": [{**DONE, "values": [[0.1, 0.2]]}]},
        {"jobs": [{**DONE, "standard_errors": [[[0.1], [-0.1]]]}]},
        {"jobs": [{**DONE, "sha256": "0" * 64}]},
    ],
    ids=str,
)
def test_a_damaged_record_says_what_to_do(content: str | dict[str, object], tmp_path: Path) -> None:
    record = planned(Ledger(tmp_path))
    if not isinstance(content, str):
        content = json.dumps({"version": 1, "key": "a" * 64, **content})
    record.path.write_text(content)
    message = rf"record '{re.escape(str(record.path))}' .*cannot be read .* move it away"
    with pytest.raises(RequestError, match=message):
        Ledger(tmp_path).round("a" * 64)
    with pytest.raises(RequestError, match=message):
        _ = Ledger(tmp_path).spent_seconds


def test_the_files_are_json(tmp_path: Path) -> None:
    record = planned(Ledger(tmp_path))
    content = json.loads(record.path.read_text())
    assert content["jobs"][0]["tag"] == "one"


def test_the_hash_is_that_of_the_values_on_record(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    record = planned(ledger)
    finish(ledger, record)
    (job,) = json.loads(record.path.read_text())["jobs"]
    tables = json.dumps([job["values"], job["standard_errors"]])
    assert job["sha256"] == hashlib.sha256(tables.encode()).hexdigest()
    assert Ledger(tmp_path).round("a" * 64).finished
    # A record of an earlier version has none.
    record.path.write_text(record.path.read_text().replace(f'"{job["sha256"]}"', "null"))
    assert Ledger(tmp_path).round("a" * 64).finished


@pytest.mark.parametrize(
    ("change", "samples"),
    [
        ({"values": [[[9.0], [0.2]]]}, [2]),
        ({"values": [[[0.1], [-1.1]]]}, [2]),
        ({"values": [[[0.1, 0.1], [0.2, 0.2]]], "standard_errors": [[[0, 0], [0, 0]]]}, [2]),
        ({"parts": [[0, 1, 3, 1]]}, [2]),
        ({"parts": [[1, 0, 2, 1]]}, [2]),
        ({}, [3]),
        ({}, [2, 1]),
    ],
    ids=str,
)
def test_values_that_cannot_be_of_the_round_are_refused(change, samples, tmp_path) -> None:
    record = planned(Ledger(tmp_path))

    def read(**changes: object):
        jobs = [{**DONE, **changes}]
        record.path.write_text(json.dumps({"version": 1, "key": "a" * 64, "jobs": jobs}))
        return Ledger(tmp_path).round("a" * 64)

    bounds = [np.ones(1) for _ in samples]
    read().check([2], bounds)
    with pytest.raises(RequestError, match=rf"{re.escape(str(record.path))}.* move it away"):
        read(**change).check(samples, bounds)


def test_the_record_of_another_round_is_refused(tmp_path: Path) -> None:
    record = planned(Ledger(tmp_path))
    record.path.write_text(record.path.read_text().replace("a" * 64, "a" * 24 + "b" * 40))
    with pytest.raises(RequestError, match=r"record of another round.* move it away"):
        Ledger(tmp_path).round("a" * 64)


def test_what_was_spent_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Ledger(tmp_path)
    for _ in range(5):
        finish(first, planned(first))
    reads = []
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: (reads.append(a), read(*a, **k))[1])
    monkeypatch.setattr(Path, "glob", lambda *a, glob=Path.glob: (reads.append(a), glob(*a))[1])
    ledger = Ledger(tmp_path)
    seconds = [12.5]
    for _ in range(7):
        record = ledger.round("a" * 64)
        if not record.jobs:
            record.jobs = [JobRecord([PubPart(0, 0, 2, 1)], tag="one", estimated_seconds=3.0)]
            finish(ledger, record)
        else:
            ledger.close(record)
        seconds.append(ledger.spent_seconds)
    assert seconds == pytest.approx([12.5] * 6 + [15.0, 17.5])
    assert ledger.num_jobs == 7
    assert len(reads) == 1 + 5
