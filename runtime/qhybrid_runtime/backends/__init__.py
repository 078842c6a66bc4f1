"""Where circuits run. `get_backend` turns a name into one of these."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.backends.aer import AerBackend
    from qhybrid_runtime.backends.backend import Backend
    from qhybrid_runtime.backends.device import DeviceBackend
    from qhybrid_runtime.backends.factory import get_backend
    from qhybrid_runtime.backends.fake import FakeBackend
    from qhybrid_runtime.backends.ibm import IbmBackend
    from qhybrid_runtime.backends.noisy_aer import NoisyAerBackend
    from qhybrid_runtime.backends.statevector import StatevectorBackend

__all__ = [
    "AerBackend",
    "Backend",
    "DeviceBackend",
    "FakeBackend",
    "IbmBackend",
    "NoisyAerBackend",
    "StatevectorBackend",
    "get_backend",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AerBackend": ".aer",
        "Backend": ".backend",
        "DeviceBackend": ".device",
        "FakeBackend": ".fake",
        "IbmBackend": ".ibm",
        "NoisyAerBackend": ".noisy_aer",
        "StatevectorBackend": ".statevector",
        "get_backend": ".factory",
    },
)
