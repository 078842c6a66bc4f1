"""Rounds of circuits through the real client, with each fault at each round."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from device_circuits import pub_of, ring

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.hardware import client_internals, service_client
from qhybrid_runtime.hardware.job_client import JobEvent
from qhybrid_runtime.loopback.faults import Fault
from qhybrid_runtime.loopback.programs import read_program
from qhybrid_runtime.loopback.server import LoopbackService
from tests.selection import thorough

CIRCUIT, WEIGHTS = ring(2), np.array([0.3, 0.8])
ROUNDS = [np.array([[0.1 * k, 1.0], [0.5, -0.3 * k]]) for k in range(1, 4)]
JOBS, JOB, RESULTS = "/jobs$", "/jobs/[^/]+$", "/results$"

#: A fault, and whether jobs are executed that are not needed.
FAULTS = [
    Fault(401, JOBS, "POST"),
    Fault(429, JOBS, "POST"),
    Fault(500, JOBS, "POST", times=2),
    Fault(502, JOBS, "POST", times=7),
    Fault("reset", JOBS, "POST"),
    Fault("reset", JOBS, "POST", after=True),
    Fault("cut", JOBS, "POST"),
    Fault("silence", JOBS, "POST", after=True, seconds=1.0),
    Fault(401, JOB),
    Fault(429, JOB, seconds=0),
    Fault(500, JOB, times=8),
    Fault("silence", JOB, seconds=1.0),
    Fault("cut", RESULTS),
    Fault("drip", RESULTS, seconds=0.2),
    Fault("reset", RESULTS, times=2),
    Fault(502, "/metrics$", times=20),
    Fault(429, "/usage$"),
    Fault(500, "/backends", times=7),
]


def run_round(backend: IbmBackend, inputs: np.ndarray) -> np.ndarray:
    pub = pub_of(CIRCUIT, inputs, WEIGHTS)
    return np.asarray(backend.estimator().run([pub]).result()[0].data.evs)


@pytest.fixture
def device(service: LoopbackService, monkeypatch: pytest.MonkeyPatch) -> IbmBackend:
    monkeypatch.setattr(service_client, "_LONGEST_WAIT_SECONDS", 0.05)
    return opened()


def opened(folder: Path | None = None, **options: object) -> IbmBackend:
    return IbmBackend("ibm_manila", shots=64, ledger=folder, **options)


@pytest.fixture
def undisturbed(device: IbmBackend) -> list[np.ndarray]:
    return [run_round(device, inputs) for inputs in ROUNDS]


@pytest.mark.parametrize("rounds", [slice(1, 2), *thorough([slice(None)])], ids=["second", "all"])
def test_each_fault_at_each_round_changes_nothing(
    rounds: slice, service: LoopbackService, device: IbmBackend, undisturbed: list[np.ndarray]
) -> None:
    """Same values, and every round is paid once."""
    for fault in FAULTS:
        for inputs, expected in zip(ROUNDS[rounds], undisturbed[rounds], strict=True):
            before = len(service.account.jobs)
            service.faults.set([fault])
            np.testing.assert_array_equal(run_round(device, inputs), expected, err_msg=str(fault))
            assert service.faults.pending == (fault.path == "/metrics$"), fault
            assert len(service.account.jobs) == before + 1, fault
    assert all(job.paid_seconds for job in service.account.jobs)


def test_a_round_takes_six_requests(
    service: LoopbackService, device: IbmBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a request that is answered late would be repeated.
    monkeypatch.setattr(client_internals, "SILENCE_SECONDS", 60.0)
    run_round(device, ROUNDS[0])
    service.requests.clear()
    run_round(device, ROUNDS[1])
    assert len(service.requests) - polls(service) == 6
    # A job of more than a second is asked after less and less often.
    service.account.job_seconds = 1.5
    monkeypatch.setattr(service_client, "_FIRST_POLL_SECONDS", 0.1)
    service.requests.clear()
    run_round(device, ROUNDS[2])
    assert len(service.requests) - polls(service) == 6
    assert polls(service) <= 12


def polls(service: LoopbackService) -> int:
    """Return how often a round asked after its job, and how long the queue is where it waits."""
    paths = [request.path for request in service.requests]
    job = f"/jobs/{service.account.jobs[-1].id}"
    asked = [number for number, path in enumerate(paths) if path.endswith(job)]
    polling = paths[asked[0] : asked[-1] + 1]
    assert all(path.endswith((job, "/status")) for path in polling)
    assert len(polling) - len(asked) <= 1
    return len(polling)


def test_a_copy_that_the_client_posts_by_itself_is_cancelled(
    service: LoopbackService, device: IbmBackend, undisturbed: list[np.ndarray]
) -> None:
    service.account.job_seconds = 1.5  # A busy machine must find the copy within it.
    service.faults.set([Fault(502, JOBS, "POST", after=True)])
    np.testing.assert_array_equal(run_round(device, ROUNDS[0]), undisturbed[0])
    assert [job.status for job in service.account.jobs[3:]] == ["Completed", "Cancelled"]
    assert sum(job.paid_seconds > 0 for job in service.account.jobs[3:]) == 1


@pytest.mark.parametrize("outcome", ["Failed", "Cancelled", 9701])
def test_a_job_that_ends_without_a_result_is_run_again(
    outcome: str | int, service: LoopbackService, device: IbmBackend, tmp_path: Path
) -> None:
    expected = run_round(opened(tmp_path / "undisturbed"), ROUNDS[0])
    service.account.outcomes[:] = [outcome]
    np.testing.assert_array_equal(run_round(opened(tmp_path / "jobs"), ROUNDS[0]), expected)
    assert len(service.account.jobs) == 3


def test_a_job_that_hangs_in_the_queue_is_fetched_by_the_next_process(
    service: LoopbackService, device: IbmBackend, tmp_path: Path
) -> None:
    qpu = service.account.qpus["ibm_manila"]
    qpu.maintenance = True
    with pytest.raises(QpuLimitError, match=r"waiting: job d\w+ is queued, .*--resume"):
        run_round(opened(tmp_path, max_wait_seconds=0.2), ROUNDS[0])
    service.requests.clear()
    qpu.maintenance = False
    time.sleep(0.5)  # It ends after the client has gone.
    run_round(opened(tmp_path), ROUNDS[0])
    assert len(service.account.jobs) == 1
    posted = [r for r in service.requests if r.method == "POST" and r.path.endswith("/jobs")]
    assert posted == []


def test_a_device_in_maintenance_is_waited_for(
    service: LoopbackService, device: IbmBackend, undisturbed: list[np.ndarray]
) -> None:
    qpu = service.account.qpus["ibm_manila"]
    qpu.maintenance = True
    events: list[tuple[str, int | None]] = []

    def see(event: JobEvent) -> None:
        events.append((event.status, event.pending_jobs))
        qpu.maintenance &= event.status != "QUEUED"

    device.listen(see)
    np.testing.assert_array_equal(run_round(device, ROUNDS[0]), undisturbed[0])
    assert ("QUEUED", 3) in events


def test_a_new_calibration_between_two_rounds_is_paid_once(
    service: LoopbackService, device: IbmBackend, tmp_path: Path
) -> None:
    first = opened(tmp_path)
    values = [run_round(first, inputs) for inputs in ROUNDS[:2]]
    service.account.qpus["ibm_manila"].recalibrate(3.0)
    again = opened(tmp_path)
    for inputs, expected in zip(ROUNDS[:2], values, strict=True):
        np.testing.assert_array_equal(run_round(again, inputs), expected)
    assert len(service.account.jobs) == 2
    run_round(again, ROUNDS[2])
    assert len(service.account.jobs) == 3


def test_a_coupling_that_breaks_between_two_rounds_is_named_and_gone_round(
    service: LoopbackService, device: IbmBackend, tmp_path: Path
) -> None:
    first = opened(tmp_path)
    run_round(first, ROUNDS[0])
    (item, *_) = read_program(service.account.jobs[0].content["params"]).items
    pair = next(
        [item.circuit.find_bit(qubit).index for qubit in each.qubits]
        for each in item.circuit.data
        if each.name == "cx"
    )
    service.account.qpus["ibm_manila"].break_pair(*pair)
    with pytest.raises(DeviceJobError, match=r"cx on qubits .* not supported.*--resume.*anew"):
        run_round(first, ROUNDS[1])
    assert len(service.account.jobs) == 2  # It is not tried again with the same circuit.
    again = opened(tmp_path)
    run_round(again, ROUNDS[0])
    run_round(again, ROUNDS[1])
    assert [job.status for job in service.account.jobs] == ["Completed", "Failed", "Completed"]


def test_a_session_that_closes_is_opened_anew(serve, tmp_path: Path) -> None:
    service = serve("fake_manila", plan="premium")
    with opened(tmp_path) as backend:
        assert backend.qpu.mode == "session"
        run_round(backend, ROUNDS[0])
        service.account.close_sessions()
        run_round(backend, ROUNDS[1])
    sessions = service.account.sessions.values()
    assert [session["state"] for session in sessions] == ["closed", "closed"]
    assert len(service.account.jobs) == 2


def test_a_session_is_joined_by_the_next_process(serve, tmp_path: Path) -> None:
    service = serve("fake_manila", plan="premium")
    run_round(opened(tmp_path), ROUNDS[0])  # and the power is cut
    with opened(tmp_path) as backend:
        run_round(backend, ROUNDS[0])
        run_round(backend, ROUNDS[1])
    ((_, session),) = service.account.sessions.items()
    assert session["state"] == "closed"
    assert not (tmp_path / "session.json").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(403, JOBS, "POST", times=99), r"cannot submit a job: .*403.*--resume"),
        (Fault(500, JOBS, "POST", times=999), r"cannot submit a job: .*500.*--resume"),
        (Fault("reset", JOB, times=999), r"cannot ask after job d\w+: .*--resume"),
        (Fault(401, JOB, times=999), r"cannot ask after job .* token is refused.*--resume"),
    ],
    ids=str,
)
def test_a_fault_that_lasts_is_one_line_and_nothing_is_paid_twice(
    fault: Fault, message: str, service: LoopbackService, device: IbmBackend, tmp_path: Path
) -> None:
    service.faults.set([fault])
    with pytest.raises(QHybridError, match=message) as caught:
        run_round(opened(tmp_path), ROUNDS[0])
    assert "\n" not in str(caught.value)
    assert service.account.token not in str(caught.value)
    service.faults.set([])
    run_round(opened(tmp_path), ROUNDS[0])
    assert len(service.account.jobs) == 1
    files = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert service.account.token not in files
    assert json.loads(next(tmp_path.glob("round-*.json")).read_text())["jobs"][0]["failed"] == []


def test_a_token_service_that_is_down_is_waited_for(
    service: LoopbackService, device: IbmBackend, undisturbed: list[np.ndarray]
) -> None:
    service.account.expire_tokens()
    service.faults.set([Fault(503, "/iam/", times=9)])
    with pytest.warns(UserWarning, match="Unable to retrieve"):
        np.testing.assert_array_equal(run_round(device, ROUNDS[0]), undisturbed[0])
    assert len(service.account.jobs) == 4


def test_what_an_account_or_device_cannot_do_is_named_before_anything_is_submitted(
    service: LoopbackService,
) -> None:
    with pytest.raises(RequestError, match="plan 'open' may not open sessions; use mode 'batch'"):
        opened(mode="session")
    for name in ("ibm_manila", "ibm"):
        with pytest.raises(
            RequestError, match=r"no fractional gates.*without --fractional"
        ) as told:
            IbmBackend(name, fractional=True)
        assert "save_account" not in str(told.value)
    with pytest.raises(RequestError, match="`fractional` and `twirling` do not go together"):
        opened(fractional=True, twirling=True)
    assert service.account.jobs == []
