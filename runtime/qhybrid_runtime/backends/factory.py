import importlib
from typing import Any

from qhybrid_circuits import RequestError
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.names import check_backend_name

#: Backend name -> the module and class that it is.
_CLASSES = {
    "statevector": ("qhybrid_runtime.backends.statevector", "StatevectorBackend"),
    "aer": ("qhybrid_runtime.backends.aer", "AerBackend"),
}


def get_backend(name: str = "statevector", **options: Any) -> Backend:
    """Return the backend of a name.

    Args:
        name: One of `qhybrid_runtime.BACKENDS`.
        options: Keyword arguments of the backend's class.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The backend does not take these options.
    """
    info = check_backend_name(name)
    module, class_name = _CLASSES[info.name]
    try:
        backend: Backend = getattr(importlib.import_module(module), class_name)(**options)
    except TypeError as error:
        raise RequestError(
            f"backend '{name}' does not take the options {', '.join(options)}"
        ) from error
    return backend
