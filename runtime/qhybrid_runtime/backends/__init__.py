"""Where circuits run. `get_backend` turns a name into one of these."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.backends.aer import AerBackend
    from qhybrid_runtime.backends.backend import Backend
    from qhybrid_runtime.backends.factory import get_backend
    from qhybrid_runtime.backends.statevector import StatevectorBackend

__all__ = ["AerBackend", "Backend", "StatevectorBackend", "get_backend"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AerBackend": ".aer",
        "Backend": ".backend",
        "StatevectorBackend": ".statevector",
        "get_backend": ".factory",
    },
)
