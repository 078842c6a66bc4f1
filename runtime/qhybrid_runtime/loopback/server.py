import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from qhybrid_circuits import RequestError
from qhybrid_runtime.loopback.account import Account
from qhybrid_runtime.loopback.faults import Fault, Faults
from qhybrid_runtime.loopback.routes import BASE, Answer, answer, error

#: Paths that the client asks for without an access token.
_OPEN_PATHS = ("/iam/", "/loopback/")

#: Seconds of "silence" and "drip" where a fault does not say.
_SILENCE_SECONDS, _DRIP_SECONDS = 3600.0, 1.0


class SeenRequest(NamedTuple):
    """A request that was made.

    Attributes:
        method: Its method.
        path: Its path, without the query.
        status: That of the answer; 0 where the connection ended without one.
    """

    method: str
    path: str
    status: int


class LoopbackService:
    """A service at 127.0.0.1 that IBM's client takes for IBM Quantum, while it runs.

    Attributes:
        account: The account and everything that became of its jobs.
        faults: What goes wrong.
        requests: Every request, those under /loopback/ left out.
        url: Its address.
    """

    def __init__(self, account: Account, *, port: int = 0) -> None:
        """Listen, at a port that the system chooses where it is 0, in a thread.

        Raises:
            RequestError: The port is not free.
        """
        self.account, self.faults = account, Faults()
        self.requests: list[SeenRequest] = []
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as problem:
            raise RequestError(
                f"cannot listen at port {port}: {problem}; leave --port out, for one that is free"
            ) from problem
        self._server.service = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """Return the environment variables by which IBM's client comes here."""
        return {
            "QISKIT_IBM_TOKEN": self.account.token,
            "QISKIT_IBM_INSTANCE": self.account.crn,
            "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
            "QISKIT_IBM_URL": f"{self.url}{BASE}",
            "IAM_URL": f"{self.url}/iam",
            "GLOBAL_SEARCH_URL": f"{self.url}/search",
            "GLOBAL_CATALOG_URL": f"{self.url}/catalog",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def told(self) -> dict[str, Any]:
        """Return what happened here, for programs in other processes."""
        return {
            "jobs": [
                {**job.view(), "mock": job.mock, "paid_seconds": job.paid_seconds}
                for job in self.account.jobs
            ],
            "sessions": list(self.account.sessions.values()),
            "paid_seconds": self.account.paid_seconds,
            "requests": [list(request) for request in self.requests],
        }

    def control(self, what: str, content: dict[str, Any]) -> None:
        """Change something, as programs in other processes may ask.

        Raises:
            RequestError: There is no such change, or its content is wrong.
        """
        account = self.account
        changes: dict[str, Callable[..., Any]] = {
            "faults": lambda faults: self.faults.set([Fault(**each) for each in faults]),
            "outcomes": lambda outcomes, qpu=None: (
                account if qpu is None else account.qpus[qpu]
            ).outcomes.extend(outcomes),
            "maintenance": lambda qpu, on: setattr(account.qpus[qpu], "maintenance", on),
            "recalibrate": lambda qpu, factor: account.qpus[qpu].recalibrate(factor),
            "break-pair": lambda qpu, pair: account.qpus[qpu].break_pair(*pair),
            "expire-tokens": account.expire_tokens,
            "close-sessions": account.close_sessions,
        }
        try:
            changes[what](**content)
        except (KeyError, TypeError) as wrong:
            raise RequestError(
                f"cannot change '{what}' to {content}: {wrong}; there are {', '.join(changes)}"
            ) from wrong


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: LoopbackService

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that break are what this service is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the body of an answer waits 40 ms, until the client has acknowledged the headers.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        parts, service = urlsplit(self.path), self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path.startswith("/loopback/"):
            return self._send(_controlled(service, self.command, parts.path, body))
        fault = service.faults.next(self.command, parts.path)
        if fault is not None and not fault.carried_out:
            return self._fail(fault)
        answered = self._answer(parts.path, parts.query, body)
        if fault is not None and fault.after:
            return self._fail(fault)
        return self._send(answered, fault)

    def _answer(self, path: str, query: str, body: bytes) -> Answer:
        account = self.server.service.account
        if not (path.startswith(_OPEN_PATHS) or account.knows(self.headers["Authorization"] or "")):
            return error(401, 1200, "The access token is not valid.")
        form = "urlencoded" in (self.headers.get("Content-Type") or "")
        try:
            content = parse_qs(body.decode()) if form else json.loads(body or b"{}")
        except ValueError:
            return error(400, 1000, "the request is not JSON")
        return answer(account, self.command, path, query, content)

    def _fail(self, fault: Fault) -> None:
        if isinstance(fault.do, int):
            headers = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
            return self._send(error(fault.do, 1000, "this fault was ordered"), headers=headers)
        if fault.do == "silence":
            time.sleep(_SILENCE_SECONDS if fault.seconds is None else fault.seconds)
        return self._reset()

    def _reset(self) -> None:
        self._note(0)
        # To close a socket that lingers for no time resets its connection.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _send(
        self, answered: Answer, fault: Fault | None = None, headers: dict[str, str] | None = None
    ) -> None:
        content = answered.content
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(answered.status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if answered.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault is not None:
            half = len(data) // 2
            self.wfile.write(data[:half])
            if fault.do == "cut":
                self.wfile.flush()
                return self._reset()
            data = self._dripped(data[half:], fault.seconds or _DRIP_SECONDS)
        # Before the last bytes: who has the whole answer finds the request among those made.
        self._note(answered.status)
        self.wfile.write(data)

    def _dripped(self, data: bytes, seconds: float) -> bytes:
        """Write all but the last of ten drops, wait before each of them, and return that one."""
        bounds = [len(data) * number // 10 for number in range(11)]
        *drops, last = (data[start:end] for start, end in pairwise(bounds))
        for drop in drops:
            time.sleep(seconds / 10)
            self.wfile.write(drop)
        time.sleep(seconds / 10)
        return last

    def _note(self, status: int) -> None:
        path = urlsplit(self.path).path
        if not path.startswith("/loopback/"):
            self.server.service.requests.append(SeenRequest(self.command, path, status))


def _controlled(service: LoopbackService, method: str, path: str, body: bytes) -> Answer:
    what = path.removeprefix("/loopback/")
    if method == "GET" and what == "state":
        return Answer(200, service.told())
    try:
        service.control(what, json.loads(body or b"{}"))
    except (RequestError, ValueError) as wrong:
        return Answer(400, {"error": str(wrong)})
    return Answer(200, {})
