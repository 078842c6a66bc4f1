"""The names of backends and gradient methods, known without importing torch or Qiskit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from qhybrid_circuits.errors import RequestError, UnknownNameError


@dataclass(frozen=True)
class BackendInfo:
    """What can be said of a backend before it is loaded.

    Attributes:
        name: What `get_backend` and `--backend` take.
        exact: Whether expectation values are free of sampling and device noise.
        gradients: The gradient methods it supports, best first.
        usable: Whether it can be used on this machine, as it is.
        note: One line for people.
    """

    name: str
    exact: bool
    gradients: tuple[str, ...]
    usable: bool
    note: str


#: Every backend by name, the default first.
BACKENDS: Mapping[str, BackendInfo] = {
    info.name: info
    for info in (
        BackendInfo(
            "statevector",
            exact=True,
            gradients=("adjoint",),
            usable=True,
            note="exact; qhybrid's own engine, the fastest",
        ),
        BackendInfo(
            "aer",
            exact=True,
            gradients=("adjoint",),
            usable=True,
            note="exact; values from Qiskit Aer's statevector simulator",
        ),
    )
}


def backend_catalog() -> list[dict[str, object]]:
    """Return every backend as a plain dictionary."""
    return [asdict(info) for info in BACKENDS.values()]


def check_backend_name(name: str) -> BackendInfo:
    """Return what is known of a backend.

    Raises:
        UnknownNameError: There is no backend of this name.
    """
    if name not in BACKENDS:
        hint = ""
        if name.startswith(("aer:", "fake_", "ibm")):
            hint = "device noise and hardware are not in this version yet"
        raise UnknownNameError("backend", name, BACKENDS, hint)
    return BACKENDS[name]


def check_gradient(backend: str, gradient: str | None) -> str:
    """Return the gradient method to use on a backend: the one asked for, or its best one.

    Raises:
        UnknownNameError: There is no backend, or no gradient method, of this name.
        RequestError: The backend does not support the method.
    """
    info = check_backend_name(backend)
    if gradient is None:
        return info.gradients[0]
    known = sorted({method for other in BACKENDS.values() for method in other.gradients})
    if gradient not in known:
        raise UnknownNameError("gradient", gradient, known)
    if gradient not in info.gradients:
        raise RequestError(
            f"backend '{backend}' has no gradient '{gradient}'; it supports "
            f"{', '.join(info.gradients)}"
        )
    return gradient
