"""Rounds that several QPUs of one account share, through the real client."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_circuits import pub_of, ring

from qhybrid.run_folder import Run
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import bill_of
from qhybrid_circuits.errors import QpuLimitError
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.fleet import FleetBackend
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.hardware import service_client
from qhybrid_runtime.loopback.faults import Fault
from qhybrid_runtime.loopback.server import LoopbackService
from qhybrid_runtime.randomness.factory import bit_source

CIRCUIT, WEIGHTS = ring(2), np.array([0.3, 0.8])
ROWS = np.array([[0.1 * k, 1.0 - 0.2 * k] for k in range(6)])
NAMES = ("ibm_manila", "ibm_lima", "ibm_quito")


def run_round(backend: QpuBackend, rows: np.ndarray = ROWS) -> np.ndarray:
    pub = pub_of(CIRCUIT, rows, WEIGHTS)
    return np.asarray(backend.estimator().run([pub]).result()[0].data.evs)


def opened(folder: Path | None = None, **options: object) -> FleetBackend:
    return get_backend(",".join(NAMES), shots=64, ledger=folder, **options)


def qpus_of(service: LoopbackService) -> list[tuple[str, str]]:
    return [(job.content["backend"], job.status) for job in service.account.jobs]


@pytest.fixture
def service(serve, monkeypatch: pytest.MonkeyPatch) -> LoopbackService:
    monkeypatch.setattr(service_client, "_LONGEST_WAIT_SECONDS", 0.05)
    return serve(*(name.replace("ibm_", "fake_") for name in NAMES))


def test_each_qpu_runs_its_own_samples_in_a_batch_of_its_own(
    service: LoopbackService, tmp_path: Path
) -> None:
    alone = [
        run_round(IbmBackend(name, shots=64), ROWS[2 * k : 2 * k + 2])
        for k, name in enumerate(NAMES)
    ]
    before = len(service.account.jobs)
    with opened(tmp_path) as backend:
        values = run_round(backend)
    np.testing.assert_array_equal(values, np.concatenate(alone, axis=1))
    assert qpus_of(service)[before:] == [(name, "Completed") for name in NAMES]
    batches = list(service.account.sessions.values())
    assert {(batch["backend_name"], batch["mode"]) for batch in batches} == {
        (name, "batch") for name in NAMES
    }
    assert {batch["state"] for batch in batches} == {"closed"}
    (record,) = tmp_path.glob("round-*.json")
    assert [job["qpu"] for job in json.loads(record.read_text())["jobs"]] == list(NAMES)
    np.testing.assert_array_equal(run_round(opened(tmp_path)), values)
    assert len(service.account.jobs) == before + 3


@pytest.mark.parametrize("trouble", ["maintenance", "hang", "Failed", 1517])
def test_a_qpu_in_trouble_is_left_out_and_nothing_is_paid_twice(
    trouble: str | int,
    service: LoopbackService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lima = service.account.qpus["ibm_lima"]
    lima.maintenance = trouble == "maintenance"
    lima.outcomes = [] if trouble == "maintenance" else [trouble] * 3
    options = {"max_wait_seconds": 1.0} if trouble == "hang" else {}
    backend, notes = opened(tmp_path, **options), []
    backend.listen(lambda event: notes.append(event.note) if event.note else None)
    run_round(backend)
    (note,) = notes
    # A QPU in maintenance is left as soon as one of the others is done, which may take all.
    others = "ibm_" if trouble == "maintenance" else "ibm_manila, ibm_quito"
    assert re.match(rf"ibm_lima is left out: job d\w+ .*its circuits go to {others}", note)
    lima.maintenance = False
    time.sleep(0.1)  # What was cancelled must not run now.
    completed = [name for name, status in qpus_of(service) if status == "Completed"]
    moved_to = re.findall(r"ibm_\w+", note.partition("go to")[2])
    assert sorted(completed) == sorted(["ibm_manila", "ibm_quito", *moved_to])
    paid = sum(job.paid_seconds for job in service.account.jobs)
    if trouble != 1517:  # A failure without a charge counts at its estimate.
        assert backend.ledger.spent_seconds == pytest.approx(paid)
    assert backend.ledger.by_qpu["ibm_lima"].jobs == len(qpus_of(service)) - len(completed)
    jobs = len(service.account.jobs)
    run_round(backend, ROWS[:3])
    assert [name for name, _ in qpus_of(service)[jobs:]] == ["ibm_manila", "ibm_quito"]


def test_a_qpu_that_takes_no_job_is_left_out(service: LoopbackService) -> None:
    backend, notes = opened(), []
    backend.listen(lambda event: notes.append(event.note) if event.note else None)
    service.faults.set([Fault(403, "/jobs$", "POST", times=6)])
    run_round(backend)
    assert re.match(r"ibm_manila is left out: cannot submit a job: .*403", notes[0])
    assert [name for name, _ in qpus_of(service)] == ["ibm_lima", "ibm_quito"] * 2


def test_jobs_that_wait_everywhere_are_fetched_by_the_next_process(
    service: LoopbackService, tmp_path: Path
) -> None:
    for qpu in service.account.qpus.values():
        qpu.maintenance = True
    with pytest.raises(QpuLimitError, match=r"waiting: job d\w+ on ibm_manila .*--resume"):
        run_round(opened(tmp_path, max_wait_seconds=0.2))
    for qpu in service.account.qpus.values():
        qpu.maintenance = False
    run_round(opened(tmp_path))
    assert qpus_of(service) == [(name, "Completed") for name in NAMES]


def test_random_bits_are_read_by_the_first_qpu_and_on_the_same_record(
    service: LoopbackService, tmp_path: Path
) -> None:
    backend = opened(tmp_path)
    bits = bit_source(backend.name, backend=backend).bits(200, 0)
    assert {name for name, _ in qpus_of(service)} == {NAMES[0]}
    jobs = len(qpus_of(service))
    assert {name: spent.jobs for name, spent in backend.ledger.by_qpu.items()} == {NAMES[0]: jobs}
    again = opened(tmp_path)
    np.testing.assert_array_equal(bit_source(again.name, backend=again).bits(200, 0), bits)
    assert len(qpus_of(service)) == jobs


def test_the_bill_is_the_sum_of_the_qpus(run: Run) -> None:
    asked = SamplingRequest(num_images=4, steps=2, execution=ExecutionRequest(shots=32))
    bill = bill_of(run, replace(asked, backend="fake_manila,fake_lima"))
    assert bill.bill.jobs == 4
    assert bill.bill.qpu_seconds == pytest.approx(
        sum(part.qpu_seconds for part in bill.by_qpu.values())
    )
