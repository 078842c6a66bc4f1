import importlib
import inspect
from typing import Any

from qhybrid_circuits import RequestError
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.registry import check_backend_name

#: Kind of backend -> the module and class that it is, and the class's argument for the name.
_CLASSES = {
    "statevector": ("qhybrid_runtime.backends.statevector", "StatevectorBackend", None),
    "aer": ("qhybrid_runtime.backends.aer", "AerBackend", None),
    "noise": ("qhybrid_runtime.backends.noisy_aer", "NoisyAerBackend", "noise"),
    "noise-aware": ("qhybrid_runtime.backends.noise_aware", "NoiseAwareBackend", "name"),
    "fake": ("qhybrid_runtime.backends.fake", "FakeBackend", "name"),
    "ibm": ("qhybrid_runtime.backends.ibm", "IbmBackend", "name"),
}


def get_backend(name: str = "statevector", **options: Any) -> Backend:
    """Return the backend of a name.

    Args:
        name: As `qhybrid backends` lists them: `statevector`, `aer`, `aer:fake_NAME`,
            `aer:depolarizing=P,readout=P`, `fake_NAME`, `ibm`, `ibm_NAME`.
        options: Keyword arguments of the backend's class.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The device is retired; the backend does not take one of the options, or
            refuses its value; there is no account, or it has no such device.
        QHybridError: The service cannot be reached.
    """
    info = check_backend_name(name)
    module, class_name, argument = _CLASSES[info.kind]
    backend_class = getattr(importlib.import_module(module), class_name)
    allowed = [option for option in _options_of(backend_class) if option != argument]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise RequestError(
            f"backend '{name}' does not take the options {', '.join(unknown)}; {takes}"
        )
    if argument is not None:
        options[argument] = info.argument
    backend: Backend = backend_class(**options)
    return backend


def _options_of(backend_class: type) -> list[str]:
    """Return the keyword arguments of a class; those of a device's options among them."""
    parameters = inspect.signature(backend_class).parameters.values()
    named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(named) < len(parameters):
        # Only devices take more; the others do without importing what devices need.
        from qhybrid_runtime.backends.qpu import DeviceOptions

        named += list(inspect.signature(DeviceOptions).parameters)
    return named
