"""What the service's failures lead to: tries, copies, limits."""

import contextlib
import importlib
import json
import math

import numpy as np
import pytest
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError
from service_double import JobDouble, ServiceDouble
from service_rounds import backend_of, run_round

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_circuits.errors import DeviceJobError, QpuLimitError
from qhybrid_runtime.backends.ibm import IbmBackend
from qhybrid_runtime.device_noise.region_simulator import RegionSimulator
from qhybrid_runtime.hardware import service_client
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.ibm_primitives import run_primitive

pytestmark = pytest.mark.filterwarnings("error")


def answered(code: int, text: str) -> IBMRuntimeError:
    """Return what the client makes of an answer, in the way that the client does."""
    try:
        try:
            raise RequestsApiError(text, code)
        except RequestsApiError as error:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None
    except IBMRuntimeError as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (answered(400, "400 Client Error: Bad Request"), 3),
        (answered(403, "job d429x: Forbidden"), 3),
        (answered(429, "Client Error: Too Many Requests"), 10),
        (answered(500, "job c400: Client Error"), 10),
        (IBMRuntimeError("no answer; see Client Error"), 10),
        (IBMNotAuthorizedError("401 Client Error: Unauthorized"), 3),
    ],
    ids=str,
)
def test_a_status_code_says_whether_to_try_again(error, tries, rounds) -> None:
    service = ServiceDouble(submit=[error] * 20)
    kind = RequestError if tries == 3 and "401" in str(error) else QHybridError
    with pytest.raises(kind, match=r"cannot submit a job: .*--resume"):
        run_round(backend_of(service), rounds[0])
    assert len(service.faults["submit"]) == 20 - tries


@pytest.mark.parametrize("event", ["submit", "answer", "status", "result"])
def test_a_token_that_has_expired_is_not_the_end(event, rounds) -> None:
    service = ServiceDouble(**{event: [IBMNotAuthorizedError("401 Client Error")]})
    run_round(backend_of(service), rounds[0])
    assert len(service.executed) == 1


@pytest.mark.parametrize("code", [1305, 1517, 6000, 7001, 8020])
def test_a_job_that_would_fail_again_is_not_paid_for_again(code, rounds, tmp_path) -> None:
    service = ServiceDouble(outcome=[code] * 3)
    with pytest.raises(DeviceJobError, match=r"job-0 .* would fail again: .*(fewer --sh|--res)"):
        run_round(backend_of(service, tmp_path), rounds[0])
    assert len(service.executed) == 1


def test_a_failure_of_the_service_may_pass(rounds) -> None:
    service = ServiceDouble(outcome=[9701])
    run_round(backend_of(service), rounds[0])
    assert len(service.executed) == 2


def test_values_that_are_no_numbers_are_no_result(rounds, monkeypatch) -> None:
    table = (np.full((2, 3), np.nan), np.zeros((2, 3)))
    monkeypatch.setattr(service_client, "primitive_values", lambda *_: [table])
    with pytest.raises(DeviceJobError, match="not finite numbers"):
        run_round(backend_of(ServiceDouble()), rounds[0])


@pytest.mark.parametrize("lost", [None, KeyboardInterrupt()])
def test_a_copy_that_the_client_posts_by_itself_is_cancelled(lost, rounds, tmp_path) -> None:
    service = ServiceDouble(copies=[1], answer=[lost])
    with contextlib.suppress(KeyboardInterrupt):
        run_round(backend_of(service, tmp_path), rounds[0])
    run_round(backend_of(service, tmp_path), rounds[0])
    assert len(service.executed) == 2
    assert [job.cancelled for job in service.executed].count(True) == 1
    record = json.loads(next(tmp_path.glob("round-*.json")).read_text())["jobs"][0]
    (kept,) = (job for job in service.executed if not job.cancelled)
    assert record["job_id"] == kept.name


@pytest.mark.parametrize("primitive", ["Estimator", "Sampler"])
def test_the_service_stops_a_job_that_takes_far_too_long(primitive, rounds, monkeypatch) -> None:
    service = ServiceDouble()
    run_round(backend_of(service, shots=2048), rounds[0])
    # 2 s, and 3 circuits and the calibration with 2,048 executions of 0.35 ms each.
    assert service.limits == [math.ceil(3 * (2 + 4 * 2048 * 0.00035)) + 60]
    module = importlib.import_module(f"qiskit_ibm_runtime.executor_{primitive.lower()}")
    limits = []
    run = lambda self, *_, **__: limits.append(self.options.max_execution_time)  # noqa: E731
    monkeypatch.setattr(getattr(module, primitive), "run", run)
    settings = PrimitiveSettings(64, primitive.lower())
    run_primitive(RegionSimulator(service.device.target), [], settings, seconds=77)
    assert limits == [77]


def test_questions_come_soon_and_then_less_often(rounds, monkeypatch) -> None:
    states = iter(["QUEUED"] * 20 + ["RUNNING", "RUNNING", "DONE"])
    monkeypatch.setattr(JobDouble, "status", lambda self: next(states))
    service, slept = ServiceDouble(), []
    options = {**service.client_options, "sleep": slept.append}
    run_round(IbmBackend("ibm_double", service=service, client_options=options), rounds[0])
    assert slept[0] == slept[20] == 0.2
    assert slept[:20] == sorted(slept[:20])
    assert max(slept) == 5.0
    # A job of a second is seen to be done a second later at most.
    assert any(1 <= sum(slept[:count]) <= 2 for count in range(20))


def test_waiting_has_an_end_where_one_is_set(rounds, tmp_path, monkeypatch) -> None:
    service = ServiceDouble("premium")
    with monkeypatch.context() as patch:
        patch.setattr(JobDouble, "status", lambda self: "QUEUED")
        stopped = pytest.raises(QpuLimitError, match=r"10 seconds of waiting: job job-0 is queued")
        with stopped, backend_of(service, tmp_path, max_wait_seconds=10) as backend:
            run_round(backend, rounds[0])
    assert not service.modes[0].open
    run_round(backend_of(service, tmp_path, max_wait_seconds=10), rounds[0])
    assert len(service.executed) == 1
