"""Refusing work that does not fit into the memory, before it begins."""

from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.machine import available_bytes


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse work that needs more memory than the process may have.

    Args:
        needed: Bytes, estimated from sizes that are known beforehand.
        what: Opens the message, e.g. "12 images of 32x32".
        remedy: Closes it.

    Raises:
        RequestError: It does not fit.
    """
    free = available_bytes()
    if needed > free:
        raise RequestError(
            f"{what} would take about {_gigabytes(needed)} of memory, of which "
            f"{_gigabytes(free)} are free; {remedy}"
        )


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
