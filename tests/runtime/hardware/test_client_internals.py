"""What is known of the client's inside, seen against the client itself."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.client import RuntimeClient
from qiskit_ibm_runtime.api.client_parameters import ClientParameters
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError

from qhybrid_runtime.hardware import client_internals
from qhybrid_runtime.hardware.accounts import plan_of
from qhybrid_runtime.hardware.client_internals import (
    limit_silence,
    may_pass,
    qpu_names,
    renew_tokens,
    status_code,
    usage_of,
)


class _Answers(BaseHTTPRequestHandler):
    """Tokens with numbers, of which only the second is taken; silence; and status codes by path."""

    tokens = 0

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        type(self).tokens += 1
        now = int(time.time())
        claims = {"iat": now, "exp": now + 3600, "number": self.tokens}
        self.answer(200, {"access_token": jwt.encode(claims, "x" * 32)})

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        if name == "silent":
            time.sleep(5)
        elif name == "token":
            token = self.headers["Authorization"].removeprefix("Bearer ")
            number = jwt.decode(token, options={"verify_signature": False})["number"]
            self.answer(200 if number == 2 else 401, {"id": "token"})
        else:
            self.answer(int(name), {"error": {"message": "job 429: 500 Client Error", "code": 1}})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[RuntimeClient]:
    """The client of one instance, without repetitions of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("IAM_URL", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(_Answers, "tokens", 0)
    given = {"token": "key", "url": f"{address}/experimental", "instance": "crn:v1"}
    client = RuntimeClient(ClientParameters("ibm_quantum_platform", **given))
    client._session._initialize_retry(0, 0, 0)
    yield client
    client._session.close()
    server.shutdown()
    server.server_close()


def test_a_silent_connection_ends(client: RuntimeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_silence()
    monkeypatch.setattr(client_internals, "SILENCE_SECONDS", 0.2)
    began = time.monotonic()
    for ask in (lambda: client.job_get("silent"), lambda: client._api.backends(timeout=None)):
        monkeypatch.setattr(client._api, "URL_MAP", {**client._api.URL_MAP, "backends": "/silent"})
        with pytest.raises(RequestsApiError, match="timed out") as caught:
            ask()
        assert status_code(caught.value) is None
    assert time.monotonic() - began < 4.5


def test_a_token_that_is_refused_is_fetched_anew(client: RuntimeClient) -> None:
    with pytest.raises(IBMNotAuthorizedError):
        client.job_get("token")
    with pytest.raises(IBMNotAuthorizedError):
        client.job_get("token")
    assert renew_tokens(SimpleNamespace(_api_clients={"crn:v1": client}))
    assert client.job_get("token") == {"id": "token"}


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 429, 500, 503])
def test_status_codes_are_those_of_the_answer(client: RuntimeClient, code: int) -> None:
    """Whatever the client makes of them, and whatever the text says."""
    # After its own repetitions, the client leaves out the status of an error of the service.
    known = code if code < 500 else None
    try:
        client.job_get(str(code))
    except Exception as error:
        found = [error]
        try:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None
        except IBMRuntimeError as again:
            found.append(again)
    assert [status_code(each) for each in found] == [known, known]
    assert may_pass(known) == (code in (429, 500, 503))
    assert status_code(IBMRuntimeError("429 Client Error")) is None


def test_seconds_are_those_of_the_qpus_own_instance() -> None:
    """Two instances: an Open one with 10 s left, and a Premium one, which is active."""
    service = object.__new__(QiskitRuntimeService)
    usages = {
        "crn:one": {"usage_limit_seconds": 600, "usage_consumed_seconds": 590},
        "crn:two": {"usage_allocation_seconds": 90_000, "usage_consumed_seconds": 0},
    }
    service._api_clients = {
        crn: SimpleNamespace(_instance=crn, cloud_usage=lambda usage=usage: dict(usage))
        for crn, usage in usages.items()
    }
    service._active_api_client = service._api_clients["crn:two"]
    service._all_instances = [
        {"crn": "crn:one", "plan": "Open"},
        {"crn": "crn:two", "plan": "Premium"},
    ]
    plans = [plan_of(service, SimpleNamespace(_instance=crn)) for crn in usages]
    assert [(plan.name, plan.left_seconds) for plan in plans] == [("open", 10), ("premium", 90_000)]
    assert service.active_instance() == "crn:two"
    assert usage_of(service, "crn:unknown") == {}


def test_names_need_no_configuration() -> None:
    service = object.__new__(QiskitRuntimeService)
    service._backends_info_per_instance = {
        "crn:one": [{"name": "ibm_b"}, {"name": "mock_b", "class": "mock"}],
        "crn:two": [{"name": "ibm_b"}, {"name": "ibm_a", "class": "qpu"}],
    }
    assert qpu_names(service) == ("ibm_a", "ibm_b")
