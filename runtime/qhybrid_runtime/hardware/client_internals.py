"""The one place that relies on the inside of qiskit-ibm-runtime: what its interface leaves out.

Written for version 0.51. Where a later version lacks an attribute, its default behaviour is left.
"""

from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from qiskit.exceptions import QiskitError

from qhybrid_circuits import QHybridError

#: Seconds without an answer after which a connection counts as broken.
SILENCE_SECONDS = 60.0

#: Code of a job whose circuits are not in the gates and couplings of the QPU.
_MISFIT = 1517

#: Codes of failed jobs that fail whenever they are run: invalid (1002, 1003, 11xx, 15xx, 6xxx to
#: 8xxx) or too long (1305, 5201), by IBM's registry of error codes.
_LASTING = (1002, 1003, 1305, 5201, *range(1100, 1200), *range(1500, 1600), *range(6000, 9000))


@cache
def limit_silence() -> None:
    """Let each request of the client fail after a minute of silence, so that it is repeated.

    By itself the client waits for ever. This concerns services that exist already, too. Requests
    that the client repeats by itself are noted; see `posted_again`.
    """
    from qiskit_ibm_runtime.api.session import RetrySession

    stock = RetrySession.request

    def request(self: Any, method: str, url: str, bare: bool = False, **given: Any) -> Any:
        if given.get("timeout") is None:
            connect, silence = self._timeout
            given["timeout"] = (connect, silence or SILENCE_SECONDS)
        answer = stock(self, method, url, bare, **given)
        history = getattr(getattr(answer.raw, "retries", None), "history", ())
        self._repeated = getattr(self, "_repeated", False) or (method == "POST" and bool(history))
        return answer

    RetrySession.request = request


def posted_again(service: Any) -> bool:
    """Return whether the client may have posted something twice since this was asked last.

    It does so by itself where an answer is an error of the service.
    """
    clients = getattr(service, "_api_clients", None)
    if clients is None:
        return True
    # All of them are asked, so that none remembers it the next time.
    asked = [client._session.__dict__.pop("_repeated", False) for client in clients.values()]
    return any(asked)


def result_of(job: Any) -> Any:
    """Return the result of a job that is done, without the client's asking whether it is."""
    job.wait_for_final_state = lambda **_: None
    return job.result()


def estimated_seconds(job: Any) -> float | None:
    """Return the QPU seconds that the service expects of a job, asked for once more."""
    job._usage_estimation = {}
    seconds = job.usage_estimation.get("quantum_seconds")
    return None if seconds is None else float(seconds)


def renew_tokens(service: Any) -> bool:
    """Fetch new access tokens, although the client's own clock says that they are valid.

    Returns:
        Whether the token service answers. While it does not, the client sends the API key instead,
        which is refused.
    """
    for client in getattr(service, "_api_clients", {}).values():
        with suppress(AttributeError):
            manager = client._session.auth.tm
            # Another try right after one that failed would wait for a minute.
            manager.expire_time = manager.request_time = 0
            try:
                manager.get_token()
            except Exception as error:
                manager.request_time = 0
                if may_pass(status_code(error)):
                    return False
    return True


def usage_of(service: Any, instance: str) -> dict[str, Any]:
    """Return the usage of an instance of an account, empty where it is not known.

    The client's own method is about the active instance, which loading any QPU changes.
    """
    client = getattr(service, "_api_clients", {}).get(instance)
    if client is None:
        return service.usage() if service.active_instance() == instance else {}
    active, service._active_api_client = service._active_api_client, client
    try:
        usage: dict[str, Any] = service.usage()
        return usage
    finally:
        service._active_api_client = active


def qpu_names(service: Any) -> tuple[str, ...]:
    """Return the names of an account's QPUs, from the client's list of them where it has one.

    The client's own method loads the configuration of each, and takes a service that does not
    answer for one without QPUs; here such an answer is raised.
    """
    lists = getattr(service, "_backends_info_per_instance", {}).values()
    if not any(lists):
        clients = getattr(service, "_api_clients", {}).values()
        lists = [client.list_backends(True) for client in clients]
    known = {str(info["name"]) for each in lists for info in each if info.get("class") != "mock"}
    return tuple(sorted(known or {str(backend.name) for backend in service.backends()}))


def is_of_service(error: BaseException) -> bool:
    """Return whether the network, the client or the service raised an error, and not a mistake."""
    if isinstance(error, QHybridError):
        return False
    home = type(error).__module__.partition(".")[0]
    clients = ("ibm_cloud_sdk_core", "qiskit_ibm_runtime", "requests", "urllib3")
    return isinstance(error, OSError | QiskitError) or home in clients


def status_code(error: BaseException) -> int | None:
    """Return the HTTP status that an error of the client goes back to; None without an answer.

    The client raises errors without it in the place of those that have it, but these are attached.
    """
    if type(error).__name__ == "IBMNotAuthorizedError":
        return 401
    cause: BaseException | None = error
    while cause is not None:
        for holder in (cause, getattr(cause, "response", None)):
            code = getattr(holder, "status_code", None)
            if isinstance(code, int) and code > 0:
                return code
        cause = cause.__cause__ or cause.__context__
    return None


def silent_host(error: BaseException) -> str | None:
    """Return where an error of the client says that nobody answers, or that the service fails.

    The client calls both a wrong token, but what it goes back to is attached.
    """
    code = status_code(error)
    if code is not None:
        return f"the service fails with {code}" if may_pass(code) else None
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__.partition(".")[0] == "requests":
            url = getattr(getattr(cause, "request", None), "url", None)
            return f"no answer from {urlsplit(str(url or '')).hostname or 'the service'}"
        cause = cause.__cause__ or cause.__context__
    return None


def may_pass(code: int | None) -> bool:
    """Return whether a request that was answered with this status may be answered otherwise."""
    return code is None or code >= 500 or code in (408, 425, 429)


def is_misfit(job: Any) -> bool:
    """Return whether a job failed because its circuits do not fit the QPU any more."""
    return getattr(job, "_reason_code", None) == _MISFIT


def fails_again(job: Any) -> bool:
    """Return whether a job that failed would fail again, by the code that the service gives."""
    return getattr(job, "_reason_code", None) in _LASTING
