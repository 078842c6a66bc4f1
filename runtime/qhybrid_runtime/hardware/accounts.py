"""Find accounts of IBM Quantum by the client's own mechanisms, and what they allow.

The client itself is imported by the first call that needs it. Tokens are read only in order to
blank them out of the client's messages.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qhybrid_circuits import QHybridError, RequestError
from qhybrid_circuits.files import regular

#: The advice to somebody who has no account.
HOW_TO_SAVE = (
    'save one with `python -c "from qiskit_ibm_runtime import QiskitRuntimeService as S; '
    "S.save_account(token='<API key>')\"` (or set QISKIT_IBM_TOKEN), or run offline with "
    "`--backend fake_fez`"
)

#: Plans that may not open sessions, or are not told: nothing that they may not allow is tried.
_WITHOUT_SESSIONS = ("open", "unknown")


@dataclass(frozen=True)
class AccountPlan:
    """The plan of an account's instance.

    Attributes:
        name: Such as "open" or "premium"; "unknown" where the service does not tell.
        sessions: Whether it may open sessions.
        limit_seconds: QPU time of the current period, or None where it is not limited or told.
        left_seconds: The part of it that is left, or None.
    """

    name: str
    sessions: bool
    limit_seconds: float | None = None
    left_seconds: float | None = None


def account_is_saved() -> bool:
    """Return whether the client would find an account: in the environment or in its file."""
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return True
    # The old channel is gone; the client ignores accounts of it.
    return any(account.get("channel") != "ibm_quantum" for account in _saved_accounts())


def _saved_accounts() -> list[dict[str, Any]]:
    """Return the accounts in the client's file; none where it is not there or not the client's."""
    path = Path("~/.qiskit/qiskit-ibm.json").expanduser()
    try:
        saved = json.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    accounts = saved.values() if isinstance(saved, dict) else ()
    return [account for account in accounts if isinstance(account, dict)]


@cache
def open_service() -> Any:
    """Return the client's service for the account that it finds.

    Raises:
        RequestError: There is no account, or the service refuses it.
        QHybridError: The service cannot be reached.
    """
    if not account_is_saved():
        raise RequestError(f"there is no IBM Quantum account: {HOW_TO_SAVE}")
    with speaking_to_service("open the IBM Quantum account"):
        from qiskit_ibm_runtime import QiskitRuntimeService

        from qhybrid_runtime.hardware.client_internals import limit_silence

        limit_silence()
        # The client warns on standard error which of several instances it has picked.
        logging.getLogger("qiskit_ibm_runtime").setLevel(logging.ERROR)
        return QiskitRuntimeService()


@contextmanager
def speaking_to_service(doing: str) -> Iterator[None]:
    """Turn the client's exceptions into one line without a token in it.

    `doing` says what the service is asked for, e.g. "open the account".

    Raises:
        RequestError: The account is refused, or the request is.
        QHybridError: Anything else went wrong.
    """
    try:
        yield
    except QHybridError:
        raise
    except Exception as error:
        from qhybrid_runtime.hardware.client_internals import silent_host

        text = f"cannot {doing}: {without_token(str(error) or type(error).__name__)}"
        silent = silent_host(error)
        if silent is not None:
            # The client takes it for a wrong token, which would send people the wrong way.
            raise QHybridError(
                f"cannot {doing}: {silent}; check the network (a proxy, VPN or firewall), then try "
                "again, or run offline with `--backend fake_fez`"
            ) from None
        refusals = ("IBMNotAuthorizedError", "InvalidAccountError", "AccountNotFoundError")
        # From None: the client's exceptions hold requests, and these hold the token.
        if isinstance(error, AttributeError | KeyError):
            # The client uses saved values and the environment without looking at them first.
            raise RequestError(
                f"cannot {doing}: the client does not understand the account's settings; check "
                "QISKIT_IBM_TOKEN, QISKIT_IBM_INSTANCE and QISKIT_IBM_CHANNEL, or the saved account"
            ) from None
        if type(error).__name__ in (*refusals, "IBMInputValueError", "QiskitBackendNotFoundError"):
            raise RequestError(f"{text}; {HOW_TO_SAVE}") from None
        raise QHybridError(f"{text}; check the network, then try again") from None


def without_token(text: str) -> str:
    """Return a text in one line, with every token that the client may know blanked out."""
    saved = [str(account.get("token", "")) for account in _saved_accounts()]
    for token in filter(None, [os.environ.get("QISKIT_IBM_TOKEN"), *saved]):
        text = text.replace(token, "***")
    return " ".join(text.split())


def find_qpu(service: Any, name: str, fractional: bool = False) -> Any:
    """Return the client's backend of a QPU, loading no other one; "ibm" is the least busy one.

    Raises:
        RequestError: The account has no such QPU, or it has no fractional gates.
        QHybridError: The service cannot be reached.
    """
    from qiskit.providers.exceptions import QiskitBackendNotFoundError
    from qiskit_ibm_runtime.exceptions import IBMInputValueError

    from qhybrid_runtime.hardware.client_internals import qpu_names

    least_busy = name == "ibm"
    which = "the least busy device" if least_busy else f"the device '{name}'"
    with speaking_to_service(f"open {which}"):
        try:
            if least_busy:
                return service.least_busy(use_fractional_gates=fractional)
            return service.backend(name, use_fractional_gates=fractional)
        except (QiskitBackendNotFoundError, IBMInputValueError) as error:
            # The client finds no least busy device where none that is online has such gates.
            lacking = least_busy or isinstance(error, IBMInputValueError)
            if lacking and fractional:
                raise RequestError(
                    f"{which} has no fractional gates; go on without --fractional, or name a "
                    "device that has them"
                ) from None
            if lacking:
                raise
    with speaking_to_service("list the account's devices"):
        offered = qpu_names(service)
    fake = f"fake_{name.removeprefix('ibm_')}"
    raise RequestError(
        f"the account has no device '{name}'; it offers {', '.join(offered) or 'none'}; `ibm` is "
        f"the least busy one, `{fake}` may run offline"
    )


def plan_of(service: Any, backend: Any) -> AccountPlan:
    """Return the plan of the instance that a QPU of an account belongs to."""
    from qhybrid_runtime.hardware.client_internals import usage_of

    with speaking_to_service("look up the account's plan"):
        crn = getattr(backend, "_instance", None) or service.active_instance()
        names = [str(i.get("plan", "")) for i in service.instances() if i.get("crn") == crn]
        usage = usage_of(service, crn)
    name = (names[0] if names else "").lower() or "unknown"
    return AccountPlan(
        name,
        sessions=name not in _WITHOUT_SESSIONS,
        limit_seconds=usage.get("usage_limit_seconds") or usage.get("usage_allocation_seconds"),
        left_seconds=usage.get("usage_remaining_seconds"),
    )


def offered_qpus() -> tuple[str, ...] | None:
    """Return the names of the account's QPUs, or None without an account or an answer."""
    try:
        service = open_service()
        from qhybrid_runtime.hardware.client_internals import qpu_names

        with speaking_to_service("list the account's devices"):
            return qpu_names(service)
    except QHybridError:
        return None
