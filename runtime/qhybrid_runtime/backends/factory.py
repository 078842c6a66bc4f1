import importlib
import inspect
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
        RequestError: The backend does not take one of the options, or refuses its value.
    """
    info = check_backend_name(name)
    module, class_name = _CLASSES[info.name]
    backend_class = getattr(importlib.import_module(module), class_name)
    allowed = list(inspect.signature(backend_class).parameters)
    unknown = [option for option in options if option not in allowed]
    if unknown:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise RequestError(
            f"backend '{name}' does not take the options {', '.join(unknown)}; {takes}"
        )
    backend: Backend = backend_class(**options)
    return backend
