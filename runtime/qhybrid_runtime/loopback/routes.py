"""The paths of the REST interface that qiskit-ibm-runtime 0.51 asks for."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from qhybrid_circuits import RequestError
from qhybrid_runtime.loopback.account import Account, ServedJob

#: The client takes the address as it is only where it has the word "experimental" in it.
BASE = "/experimental/api/v1"

#: Jobs on a page of a list, at most.
_PAGE = 200


class Answer(NamedTuple):
    """An answer: a status, and what is sent as JSON, or text that is sent as it is."""

    status: int
    content: Any


class Asked(NamedTuple):
    """A request: the account, the groups of the path's pattern, the query and the content."""

    account: Account
    groups: tuple[str, ...]
    query: dict[str, list[str]]
    content: Any


def error(status: int, code: int, message: str) -> Answer:
    """Return an answer that is an error, in the service's form."""
    said = {"code": code, "message": message}
    return Answer(status, {"errors": [said], "error": said})


def answer(account: Account, method: str, path: str, query: str, content: Any) -> Answer:
    """Return the answer to a request that is let in."""
    for route_method, pattern, function in _ROUTES:
        found = re.fullmatch(pattern, path)
        if found and method == route_method:
            try:
                return function(Asked(account, found.groups(), parse_qs(query), content))
            except RequestError as wrong:
                return error(400, 1211, str(wrong))
    return error(404, 1000, f"there is no {method} {path} here")


def _token(asked: Asked) -> Answer:
    token = asked.account.new_token(asked.content.get("apikey", [""])[0])
    if token is None:
        wrong = "Provided API key could not be found."
        return Answer(400, {"errorCode": "BXNIM0415E", "errorMessage": wrong})
    return Answer(200, token)


def _instances(asked: Asked) -> Answer:
    instance = {
        "crn": asked.account.crn,
        "name": "loopback",
        "tags": [],
        "service_plan_unique_id": "plan",
        "doc": {"extensions": {"allocation": True}},
    }
    return Answer(200, {"items": [instance]})


def _plan(asked: Asked) -> Answer:
    plan = asked.account.plan
    pricing = {"type": "free" if plan == "open" else "paid"}
    named = {"en": {"display_name": plan.capitalize()}}
    return Answer(200, {"overview_ui": named, "metadata": {"pricing": pricing}})


def _usage(asked: Asked) -> Answer:
    return Answer(200, asked.account.usage())


def _backends(asked: Asked) -> Answer:
    listed = []
    for qpu in asked.account.qpus.values():
        state = {"name": "offline" if qpu.maintenance else "online", "reason": ""}
        told = {"status": state, "queue_length": qpu.waiting, "qubits": qpu.qubits}
        listed.append({"name": qpu.name, "class": "qpu", **told})
        if "include_mocks" in asked.query:
            listed.append({"name": qpu.mock, "class": "mock", **told})
    return Answer(200, {"devices": listed})


def _of_backend(asked: Asked) -> Answer:
    name, what = asked.groups
    qpu = asked.account.qpu(name)
    if qpu is None:
        return error(404, 1219, f"there is no backend {name}")
    return Answer(200, qpu.status() if what == "status" else getattr(qpu, what)(name))


def _submit(asked: Asked) -> Answer:
    account, content = asked.account, asked.content
    if content.get("program_id") != "executor":
        return error(404, 1211, f"there is no program {content.get('program_id')}")
    session = account.sessions.get(content["session_id"]) if content.get("session_id") else {}
    if session is None or not session.get("accepting_jobs", True):
        return error(400, 1217, "The session is closed and takes no more jobs.")
    job = account.submit(content)
    return Answer(200, {"id": job.id, "backend": content["backend"]})


def _list_jobs(asked: Asked) -> Answer:
    query = asked.query
    wanted = query.get("tags", [])
    fits = [job for job in asked.account.jobs if set(wanted) <= set(job.tags)]
    for name in ("session_id", "backend"):
        fits = [job for job in fits if job.content.get(name) in query.get(name, [_any(job, name)])]
    if "pending" in query:
        pending = query["pending"] == ["true"]
        fits = [job for job in fits if (job.status in ("Queued", "Running")) is pending]
    if "include_mocks" not in query:
        fits = [job for job in fits if not job.mock]
    ordered = fits if query.get("sort") == ["ASC"] else fits[::-1]
    start = int(query.get("offset", ["0"])[0])
    stop = start + min(_PAGE, int(query.get("limit", [str(_PAGE)])[0]))
    return Answer(200, {"jobs": [job.view() for job in ordered[start:stop]], "count": len(fits)})


def _any(job: ServedJob, name: str) -> Any:
    return job.content.get(name)


def _of_job(asked: Asked) -> Answer:
    job_id, what = asked.groups
    job = asked.account.job(job_id)
    if job is None:
        return error(404, 1291, f"Job not found. Job ID: {job_id}")
    if what == "/results":
        return Answer(200, job.result)
    if what == "/logs":
        return Answer(200, "")
    if what == "/metrics":
        done = job.status not in ("Queued", "Running")
        usage = {"status": "done" if done else "pending"}
        charged = {"qpu_charge_time_seconds": job.paid_seconds} if done else {}
        return Answer(200, {"usage": {**usage, **charged}, "timestamps": {"created": job.created}})
    return Answer(200, job.view(params="exclude_params" not in asked.query))


def _cancel(asked: Asked) -> Answer:
    job = asked.account.job(asked.groups[0])
    if job is None:
        return error(404, 1291, "Job not found.")
    if not asked.account.cancel(job):
        return error(409, 1290, "The job has ended already.")
    return Answer(204, "")


def _open_session(asked: Asked) -> Answer:
    if asked.account.plan == "open" and asked.content.get("mode") == "dedicated":
        return error(400, 1352, "You are not authorized to run a session when using the open plan.")
    return Answer(200, asked.account.open_session(asked.content))


def _of_session(asked: Asked) -> Answer:
    session = asked.account.sessions.get(asked.groups[0])
    return error(404, 1216, "Session not found.") if session is None else Answer(200, session)


def _change_session(asked: Asked) -> Answer:
    session = asked.account.sessions.get(asked.groups[0])
    if session is None:
        return error(404, 1216, "Session not found.")
    session |= {"accepting_jobs": False, "state": "closed"}
    return Answer(204, "")


_Function = Callable[[Asked], Answer]

_ROUTES: tuple[tuple[str, str, _Function], ...] = (
    ("POST", "/iam/identity/token", _token),
    ("POST", "/search/v3/resources/search", _instances),
    ("GET", "/catalog/plan", _plan),
    ("GET", f"{BASE}/instances/usage", _usage),
    ("GET", f"{BASE}/backends", _backends),
    ("GET", f"{BASE}/backends/([^/]+)/(configuration|properties|status)", _of_backend),
    ("POST", f"{BASE}/jobs", _submit),
    ("GET", f"{BASE}/jobs", _list_jobs),
    ("GET", f"{BASE}/jobs/([^/]+)(|/results|/metrics|/logs)", _of_job),
    ("POST", f"{BASE}/jobs/([^/]+)/cancel", _cancel),
    ("POST", f"{BASE}/sessions", _open_session),
    ("GET", f"{BASE}/sessions/([^/]+)", _of_session),
    ("PATCH", f"{BASE}/sessions/([^/]+)", _change_session),
    ("DELETE", f"{BASE}/sessions/([^/]+)/close", _change_session),
)
