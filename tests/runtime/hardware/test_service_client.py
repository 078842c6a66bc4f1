import contextlib
import json
import logging
import traceback

import numpy as np
import pytest
from device_circuits import ideal_values
from service_double import ServiceDouble
from service_rounds import CIRCUIT, WEIGHTS, backend_of, run_all, run_round

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_runtime.backends.ibm import IbmBackend
from tests.selection import thorough

pytestmark = pytest.mark.filterwarnings("error")


def test_rounds_run_on_the_device(rounds, tmp_path) -> None:
    service = ServiceDouble()
    backend = backend_of(service, tmp_path, shots=4096, resilience_level=1)
    for inputs, values in zip(rounds, run_all(backend, rounds), strict=True):
        np.testing.assert_allclose(values, ideal_values(CIRCUIT, inputs, WEIGHTS), atol=0.15)
    assert len(service.executed) == 3
    # What the service says that it took, not what was estimated.
    assert backend.ledger.spent_seconds == 15.0
    assert backend.qpu.plan == "open"
    assert (backend.qpu.mode, backend.qpu.left_seconds) == ("job", 480)


@pytest.mark.parametrize("primitive", ["estimator", "sampler"])
def test_a_job_that_another_process_submitted_is_fetched(primitive, rounds, tmp_path) -> None:
    service = ServiceDouble(status=[None, KeyboardInterrupt()])
    backend = backend_of(service, tmp_path, primitive=primitive)
    with pytest.raises(KeyboardInterrupt):
        run_round(backend, rounds[0])
    again = backend_of(service, tmp_path, primitive=primitive)
    values = run_round(again, rounds[0])
    assert len(service.executed) == 1
    other = backend_of(ServiceDouble(), tmp_path / "undisturbed", primitive=primitive)
    np.testing.assert_array_equal(values, run_round(other, rounds[0]))


#: A fault, and how many submissions more than one a round it makes.
FAULTS = [
    ({"submit": ConnectionError("reset by peer")}, 0),
    ({"submit": KeyboardInterrupt()}, 0),
    ({"answer": ConnectionError("reset by peer")}, 0),
    ({"answer": KeyboardInterrupt()}, 0),
    ({"status": ConnectionError("reset by peer")}, 0),
    ({"status": KeyboardInterrupt()}, 0),
    ({"result": TimeoutError("timed out")}, 0),
    ({"result": KeyboardInterrupt()}, 0),
    ({"usage": ConnectionError("reset by peer")}, 0),
    ({"usage": KeyboardInterrupt()}, 0),
    ({"outcome": "ERROR"}, 1),
    ({"outcome": "CANCELLED"}, 1),
]


@pytest.mark.parametrize("number", [1, *thorough([0, 2])])
@pytest.mark.parametrize(("fault", "extra"), FAULTS, ids=str)
def test_nothing_is_lost_whatever_happens(fault, extra, number, rounds, tmp_path) -> None:
    expected = run_all(backend_of(ServiceDouble(), tmp_path / "undisturbed"), rounds)
    ((event, what),) = fault.items()
    # Three polls a job: any of them may be where the fault strikes; here it is the second.
    before = [None] * (number * (3 if event == "status" else 1) + (event == "status"))
    service = ServiceDouble(**{event: [*before, what]})
    with contextlib.suppress(KeyboardInterrupt):
        run_all(backend_of(service, tmp_path), rounds)
    values = run_all(backend_of(service, tmp_path), rounds)
    for actual, wanted in zip(values, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert len(service.executed) == 3 + extra
    assert not any(waiting for waiting in service.faults.values())


def test_every_job_is_on_record_before_it_is_waited_for(rounds, tmp_path) -> None:
    service = ServiceDouble()
    seen = []

    def look(event) -> None:
        texts = [path.read_text() for path in tmp_path.glob("round-*.json")]
        seen.append((event.status, any(f'"{event.job_id}"' in text for text in texts)))

    backend = backend_of(service, tmp_path)
    backend.listen(look)
    run_round(backend, rounds[0])
    assert seen == [("SUBMITTED", True), ("QUEUED", True), ("RUNNING", True), ("DONE", True)]


def test_the_queue_is_told(rounds) -> None:
    events = []
    backend = backend_of(ServiceDouble())
    backend.listen(events.append)
    run_round(backend, rounds[0])
    assert [event.pending_jobs for event in events if event.status == "QUEUED"] == [3]
    assert events[-1].spent_seconds == 5.0


def test_a_job_that_fails_again_and_again_is_given_up(rounds, tmp_path) -> None:
    service = ServiceDouble(outcome=["ERROR"] * 3)
    backend = backend_of(service, tmp_path)
    with pytest.raises(DeviceJobError, match=r"job-2 on ibm_double failed.*the fridge was warm"):
        run_round(backend, rounds[0])
    assert len(service.executed) == 3
    assert backend.ledger.spent_seconds == 15.0
    # The next process tries again, and only what failed.
    run_round(backend_of(service, tmp_path), rounds[0])
    assert len(service.executed) == 4


def test_without_a_connection_the_work_stops_and_goes_on(rounds, tmp_path) -> None:
    service = ServiceDouble(status=[ConnectionError("unreachable")] * 10)
    with pytest.raises(QHybridError, match=r"ask after job job-0: unreachable.*--resume"):
        run_round(backend_of(service, tmp_path), rounds[0])
    run_round(backend_of(service, tmp_path), rounds[0])
    assert len(service.executed) == 1


def test_failed_jobs_count_against_the_limit(rounds, tmp_path) -> None:
    service = ServiceDouble(outcome=["ERROR"])
    backend = backend_of(service, tmp_path, max_qpu_seconds=6.0)
    with pytest.raises(QpuLimitError, match=r"5\.00 s are spent"):
        run_round(backend, rounds[0])
    assert len(service.executed) == 1
    run_round(backend_of(service, tmp_path, max_qpu_seconds=20.0), rounds[0])
    assert len(service.executed) == 2


def test_large_rounds_are_several_jobs_and_resume_by_job(tmp_path, rng, monkeypatch) -> None:
    import qhybrid_runtime.hardware.jobs as hardware

    small = hardware.Limits(executions=3 * 128)
    monkeypatch.setattr(hardware, "Limits", lambda: small)
    inputs = rng.normal(size=(5, 2))
    # The second of three jobs fails to be submitted for good.
    service = ServiceDouble(submit=[None, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run_round(backend_of(service, tmp_path), inputs)
    assert len(service.executed) == 1
    values = run_round(backend_of(service, tmp_path), inputs)
    assert len(service.executed) == 3
    undisturbed = run_round(backend_of(ServiceDouble(), tmp_path / "undisturbed"), inputs)
    np.testing.assert_array_equal(values, undisturbed)


@pytest.mark.parametrize(
    ("plan", "asked", "mode"),
    [
        ("open", None, "job"),
        ("premium", None, "session"),
        ("premium", "batch", "batch"),
        ("open", "batch", "batch"),
        ("", None, "job"),
    ],
)
def test_the_mode_follows_the_plan(plan, asked, mode, rounds) -> None:
    service = ServiceDouble(plan)
    with backend_of(service, mode=asked) as backend:
        run_all(backend, rounds[:2])
        assert backend.qpu.mode == mode
        assert [opened.kind for opened in service.modes] == ([] if mode == "job" else [mode])
    assert not any(opened.open for opened in service.modes)


def test_a_session_that_closed_is_opened_again(rounds) -> None:
    service = ServiceDouble("premium")
    backend = backend_of(service)
    run_round(backend, rounds[0])
    service.modes[0].open = False
    run_round(backend, rounds[1])
    assert len(service.modes) == 2
    assert len(service.executed) == 2


def test_a_session_outlives_a_connection_that_breaks(rounds) -> None:
    service = ServiceDouble("premium", submit=[ConnectionError("reset by peer")])
    run_round(backend_of(service), rounds[0])
    assert len(service.modes) == 1


def test_a_job_that_the_service_has_lost_is_submitted_again(rounds, tmp_path) -> None:
    service = ServiceDouble(status=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run_round(backend_of(service, tmp_path), rounds[0])
    service.executed.clear()
    run_round(backend_of(service, tmp_path), rounds[0])
    assert len(service.executed) == 1


@pytest.mark.parametrize(
    ("meanwhile", "opened"),
    [
        (lambda service, folder: None, 1),
        (lambda service, folder: service.modes[0].close(), 2),
        (lambda service, folder: service.modes.clear(), 1),
        (lambda service, folder: (folder / "session.json").write_text("{"), 2),
    ],
)
@pytest.mark.parametrize("mode", ["session", "batch"])
def test_a_session_is_joined_by_the_next_process(mode, meanwhile, opened, rounds, tmp_path) -> None:
    service = ServiceDouble("premium", status=[None, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run_round(backend_of(service, tmp_path, mode=mode), rounds[0])  # and the power is cut
    assert json.loads((tmp_path / "session.json").read_text()) == {"id": "session-0"}
    meanwhile(service, tmp_path)
    with backend_of(service, tmp_path, mode=mode) as backend:
        run_all(backend, rounds)
    assert len(service.modes) == opened
    assert len(service.executed) == 3
    assert not any(opened.open for opened in service.modes[-1:])
    assert not (tmp_path / "session.json").exists()


def test_one_configuration_is_loaded_to_open_a_device() -> None:
    service = ServiceDouble()
    IbmBackend("ibm_double", service=service)
    assert service.loaded == ["ibm_double"]


def test_mistakes_are_not_taken_for_failures_of_the_service(rounds) -> None:
    service = ServiceDouble(submit=[AttributeError("a mistake")])
    with pytest.raises(AttributeError, match="a mistake"):
        run_round(backend_of(service), rounds[0])


def test_the_open_plan_has_no_sessions() -> None:
    with pytest.raises(RequestError, match="'open' may not open sessions; use mode 'batch'"):
        backend_of(ServiceDouble("open"), mode="session")
    with pytest.raises(RequestError, match="`mode` must be 'session', 'batch' or 'job'"):
        backend_of(ServiceDouble(), mode="queue")


def test_devices_that_the_account_lacks_are_named() -> None:
    service = ServiceDouble()
    with pytest.raises(RequestError, match=r"no device 'ibm_fez'; it offers ibm_d.*fake_fez"):
        IbmBackend("ibm_fez", service=service)
    assert IbmBackend("ibm", service=service).qpu.name == "ibm_double"


def test_a_token_is_nowhere(rounds, tmp_path, monkeypatch, caplog, capsys) -> None:
    token = "planted-token-0123456789"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    caplog.set_level(logging.DEBUG)
    leaky = ConnectionError(f"GET /jobs with apikey {token} timed out")
    texts = []
    for faults in (
        {"status": [leaky] * 10},
        {"submit": [leaky] * 10},
        {"result": [leaky] * 10},
        {"outcome": ["ERROR"] * 3},
    ):
        service = ServiceDouble(**faults)
        monkeypatch.setattr(
            "service_double.JobDouble.error_message", lambda self: f"bad token {token}"
        )
        backend = backend_of(service, tmp_path)
        with pytest.raises(QHybridError) as caught:
            run_round(backend, rounds[0])
        texts += ["".join(traceback.format_exception(caught.value)), repr(backend)]
        texts += [repr(backend.qpu), repr(backend.ledger), str(vars(backend))]
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    printed = capsys.readouterr()
    everything = "\n".join([*texts, *files, caplog.text, printed.out, printed.err])
    assert token not in everything
    assert "***" in everything


def test_a_session_without_further_jobs_is_closed_all_the_same(rounds, tmp_path) -> None:
    service = ServiceDouble("premium", status=[None, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        run_round(backend_of(service, tmp_path), rounds[0])  # and the power is cut
    with backend_of(service, tmp_path) as backend:
        run_round(backend, rounds[0])
    assert [mode.open for mode in service.modes] == [False]
