import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from qhybrid_circuits import RequestError

#: An HTTP status is answered; a connection is reset; an answer ends in its middle, never comes, or
#: comes drop by drop.
Kind = Literal["reset", "cut", "silence", "drip"] | int


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with requests.

    Attributes:
        do: What.
        path: A regular expression that the request's path has to match.
        method: The request's method; any where omitted.
        times: How many requests in a row.
        skip: How many are answered before.
        after: Whether the request is carried out all the same, so that only its answer is lost.
        seconds: How long "silence" and "drip" last, and Retry-After of a status, if any.
    """

    do: Kind
    path: str = ""
    method: str = ""
    times: int = 1
    skip: int = 0
    after: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the kind.

        Raises:
            RequestError: There is no such kind of fault.
        """
        kinds = get_args(get_args(Kind)[0])
        known = self.do in kinds if isinstance(self.do, str) else 400 <= self.do < 600
        if not known:
            raise RequestError(
                f"`do` must be an HTTP status from 400, or {', '.join(kinds)}, but is {self.do!r}"
            )

    @property
    def carried_out(self) -> bool:
        """Whether the request is carried out."""
        return self.after or self.do in ("cut", "drip")


@dataclass
class _Waiting:
    fault: Fault
    left: int


class Faults:
    """Faults that wait for their requests; the first one that fits a request strikes."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def set(self, faults: Iterable[Fault]) -> None:
        """Wait with these instead of those before."""
        with self._lock:
            self._waiting = [_Waiting(fault, fault.skip + fault.times) for fault in faults]

    @property
    def pending(self) -> int:
        """How many have not struck as often as they should."""
        with self._lock:
            return sum(each.left > 0 for each in self._waiting)

    def next(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes this request, or None."""
        with self._lock:
            for each in self._waiting:
                fault = each.fault
                fits = fault.method in ("", method) and re.search(fault.path, path)
                if each.left and fits:
                    each.left -= 1
                    if each.left < fault.times:
                        return fault
        return None
