"""Rounds that QPUs share: whose values they are, and what becomes of a QPU that fails."""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from device_circuits import ideal_lattice, ideal_values, pub_of, ring
from exact_device import ExactClient

from qhybrid_circuits import QHybridError
from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_runtime.backends.fleet import FleetBackend
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend, QpuOptions
from qhybrid_runtime.hardware.job_client import JobEvent, JobFailed
from qhybrid_runtime.hardware.ledger import Ledger

CIRCUITS = [ring(3), ring(2, "pair")]
WEIGHTS = [np.array([0.3, 0.8, -0.4]), np.array([1.1, 0.2])]

#: Ways of a QPU to run no job, and what is said.
DEATHS = {
    "fails again and again": r"b0 is left out: job b0-2 failed: the fridge was warm",
    "would fail again": "b0 is left out: job b0-0 failed: the fridge was warm",
    "takes none": "b0 is left out: it refuses",
    "hangs": r"b0 is left out: job b0-0 waited for \d+ s and was cancelled",
    "is in maintenance": "b0 is left out: job b0-0 waits .*out of service.* cancelled",
}


class Shop(ExactClient):
    """A QPU that takes some looks until a job is done, or fails as one of `DEATHS` says.

    Attributes:
        log: What is done to all QPUs, in order.
    """

    def __init__(self, name: str, log: list[str], death: str = "", looks: int = 1) -> None:
        super().__init__()
        self.name, self.log, self.death, self.looks = name, log, death, looks
        self.cancelled: set[str] = set()
        self._looked: dict[str, int] = {}

    def submit(self, pubs, settings, tag, seconds) -> str:
        self.log.append(f"submit {self.name}")
        if self.death == "takes none":
            raise QHybridError("it refuses")
        return f"{self.name}-{super().submit(pubs, settings, tag, seconds)}"

    def done(self, job_id, notify) -> bool:
        self.log.append(f"look {self.name}")
        if self.death.startswith("fails") or self.death.startswith("would"):
            raise JobFailed("the fridge was warm", lasting=self.death.startswith("would"))
        self._looked[job_id] = self._looked.get(job_id, 0) + 1
        return not self.death and self._looked[job_id] > self.looks

    def wait(self, job_id, pubs, settings, notify):
        return super().wait(job_id.split("-")[1], pubs, settings, notify)

    def cancel(self, job_id) -> bool:
        self.cancelled.add(job_id)
        return True

    def in_service(self, job_id) -> bool:
        return self.death != "is in maintenance"


def fleet_of(
    shops: Sequence[Shop], folder: Path | None = None, pack: object = 1, **options
) -> tuple[FleetBackend, list[JobEvent]]:
    chosen = QpuOptions(100, "sampler", pack=pack, ledger=folder, **options)
    targets = [ideal_lattice(3, 3), ideal_lattice(2, 4), ideal_lattice(5, 6)]
    members = [
        QpuBackend(shop.name, Qpu(shop.name, 9, True), target, shop, chosen, Ledger(None))
        for shop, target in zip(shops, targets, strict=False)
    ]
    name = ",".join(shop.name for shop in shops)
    backend = FleetBackend(name, members, chosen, sleep=lambda seconds: None)
    events: list[JobEvent] = []
    backend.listen(events.append)
    return backend, events


def run_round(backend: FleetBackend, samples: int, seed: int = 0) -> None:
    """Run both circuits and compare with Qiskit's states."""
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(samples, len(weights))) for weights in WEIGHTS]
    pubs = [pub_of(*each) for each in zip(CIRCUITS, inputs, WEIGHTS, strict=True)]
    result = backend.estimator().run(pubs).result()
    for circuit, rows, weights, entry in zip(CIRCUITS, inputs, WEIGHTS, result, strict=True):
        ideal = ideal_values(circuit, rows, weights)
        np.testing.assert_allclose(entry.data.evs, ideal, atol=1e-10)


@pytest.mark.parametrize("pack", [1, "auto"])
@pytest.mark.parametrize("samples", [1, 2, 7])
def test_every_sample_has_its_values_and_all_jobs_wait_together(samples: int, pack: object) -> None:
    log: list[str] = []
    shops = [Shop(name, log) for name in ("a0", "b0", "c0")]
    backend, events = fleet_of(shops, pack=pack)
    run_round(backend, samples)
    sent = [f"submit {shop.name}" for shop in shops if shop.jobs]
    assert log[: len(sent)] == sent
    # Two circuits of one image are for two QPUs.
    assert len(sent) == min(3, 2 * samples)
    assert not [event for event in events if event.note]
    if pack == 1:
        rows = [sum(len(pub.values) for job in shop.jobs for pub in job) for shop in shops]
        assert sum(rows) == 2 * samples
        assert max(rows) - min(rows) <= len(CIRCUITS)


@pytest.mark.parametrize("death", DEATHS)
def test_a_qpu_that_dies_costs_its_own_jobs_alone(death: str, tmp_path: Path) -> None:
    log: list[str] = []
    shops = [Shop("a0", log), Shop("b0", log, death), Shop("c0", log)]
    backend, events = fleet_of(shops, tmp_path)
    run_round(backend, 7)
    (note,) = [event.note for event in events if event.note]
    assert re.match(DEATHS[death], note), note
    assert note.endswith("; its circuits go to a0, c0")
    # What was moved had ended: it failed, was refused or was cancelled.
    assert (shops[1].cancelled == {"b0-0"}) == (death in ("hangs", "is in maintenance"))
    jobs = shops[0].jobs + shops[2].jobs
    assert sum(len(pub.values) for job in jobs for pub in job) == 2 * 7
    # Later rounds do without it, and one that is run again comes from the record.
    before, tried = len(shops[1].jobs), log.count("submit b0")
    run_round(backend, 5, seed=1)
    assert (len(shops[1].jobs), log.count("submit b0")) == (before, tried)
    again, _ = fleet_of(shops, tmp_path)
    log.clear()
    run_round(again, 7)
    run_round(again, 5, seed=1)
    assert log == []
    (record,) = [
        json.loads(path.read_text())["jobs"]
        for path in tmp_path.glob("round-*.json")
        if '"qpu": "b0"' in path.read_text()
    ]
    assert {job["qpu"] for job in record if job["parts"]} == {"a0", "c0"}


def test_spent_time_is_told_by_qpu(tmp_path: Path) -> None:
    log: list[str] = []
    shops = [Shop("a0", log), Shop("b0", log, "fails again and again")]
    run_round(fleet_of(shops, tmp_path)[0], 4)
    spent = Ledger(tmp_path).by_qpu
    assert {name: each.jobs for name, each in spent.items()} == {"a0": 2, "b0": 3}
    assert spent["b0"].seconds == 0.0
    assert spent["a0"].seconds == pytest.approx(2 * (2 + 0.00035 * 100 * 4))


def test_without_a_listener_a_warning_says_that_a_qpu_is_left_out() -> None:
    backend, _ = fleet_of([Shop("a0", []), Shop("b0", [], "would fail again")])
    backend.listen(None)
    with pytest.warns(UserWarning, match="b0 is left out"):
        run_round(backend, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_round(backend, 3)


def test_a_fleet_of_which_none_is_left_stops_and_goes_on(tmp_path: Path) -> None:
    log: list[str] = []
    shops = [Shop("a0", log, "would fail again"), Shop("b0", log, "would fail again")]
    with pytest.raises(DeviceJobError, match="failed, and would fail again: the fridge"):
        run_round(fleet_of(shops, tmp_path)[0], 4)
    for shop in shops:
        shop.death = ""
    run_round(fleet_of(shops, tmp_path)[0], 4)


def test_a_limit_on_waiting_stops_a_fleet_that_waits_everywhere(tmp_path: Path) -> None:
    log: list[str] = []
    shops = [Shop("a0", log, "hangs"), Shop("b0", log, "hangs")]
    with pytest.raises(QpuLimitError, match=r"limit of 9 seconds of waiting: job a0-0 on a0"):
        run_round(fleet_of(shops, tmp_path, max_wait_seconds=9)[0], 4)
    assert shops[0].cancelled == shops[1].cancelled == set()
    for shop in shops:
        shop.death = ""
    log.clear()
    run_round(fleet_of(shops, tmp_path)[0], 4)
    assert not [entry for entry in log if entry.startswith("submit")]


def test_a_slow_qpu_is_waited_for_and_a_limit_on_qpu_time_is_one_for_all(tmp_path: Path) -> None:
    shops = [Shop("a0", [], looks=20), Shop("b0", [], looks=25)]
    backend, events = fleet_of(shops, tmp_path)
    run_round(backend, 4)
    assert not [event for event in events if event.note]
    limited, _ = fleet_of([Shop("a0", []), Shop("b0", [])], max_qpu_seconds=3.0)
    with pytest.raises(QpuLimitError, match=r"limit of 3 QPU seconds: 2\.14 s are spent"):
        run_round(limited, 4)


def test_the_bill_of_a_fleet_is_that_of_its_qpus() -> None:
    backend, _ = fleet_of([Shop("a0", []), Shop("b0", []), Shop("c0", [])])
    pubs = [pub_of(CIRCUITS[0], np.zeros((7, 3)) + np.arange(7)[:, None], WEIGHTS[0])]
    quote = backend._quoted(backend.estimator().lowered_tasks(pubs))
    assert {name: bill.executions for name, bill in quote.by_qpu.items()} == {
        "a0": 200,
        "b0": 200,
        "c0": 300,
    }
    assert quote.bill.jobs == 3
    assert quote.bill.qpu_seconds == pytest.approx(3 * 2 + 0.00035 * 700)
    assert quote.stock.jobs == 1
