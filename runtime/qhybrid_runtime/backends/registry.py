"""The names of backends and gradient methods, known without importing torch or Qiskit."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime.hardware.retired import RETIRED, retirement
from qhybrid_runtime.hardware.snapshots import snapshots

Kind = Literal["statevector", "aer", "noise", "noise-aware", "fake", "ibm"]

#: What an exact simulator offers: the adjoint costs about two evaluations whatever the number of
#: parameters, parameter-shift at least two a parameter, and spsa is an estimate of the same.
EXACT_GRADIENTS = ("adjoint", "parameter-shift", "spsa")

#: What noise and devices offer. SPSA takes two evaluations whatever the number of parameters;
#: parameter-shift is unbiased but takes hundreds; adjoint is the ideal circuit's derivative at the
#: device's values, free but biased, so it has to be asked for.
DEVICE_GRADIENTS = ("spsa", "parameter-shift", "adjoint")

#: How names are written, for people; every `aer:` and `ibm_` name is of one of these forms.
FORMS = (
    "statevector",
    "aer",
    "aer:fake_NAME",
    "aer:depolarizing=P,readout=P",
    "fake_NAME",
    "ibm",
    "ibm_NAME",
)

_NOISE_KEYS = ("depolarizing", "readout")


@dataclass(frozen=True)
class BackendInfo:
    """What can be said of a backend before it is loaded.

    Attributes:
        name: What `get_backend` and `--backend` take.
        kind: The family that it belongs to; it decides the class.
        exact: Whether expectation values are free of sampling and device noise.
        gradients: The gradient methods it supports, best first.
        argument: What follows "aer:", else the name itself.
    """

    name: str
    kind: Kind
    exact: bool
    gradients: tuple[str, ...]
    argument: str = ""


class _Backends(Mapping[str, BackendInfo]):
    """Every backend that has a name of its own here, the default first."""

    def __init__(self) -> None:
        self._fixed = {
            info.name: info
            for info in (
                BackendInfo("statevector", "statevector", True, EXACT_GRADIENTS, "statevector"),
                BackendInfo("aer", "aer", True, EXACT_GRADIENTS, "aer"),
                BackendInfo("ibm", "ibm", False, DEVICE_GRADIENTS, "ibm"),
            )
        }

    def __getitem__(self, name: str) -> BackendInfo:
        if name in self._fixed:
            return self._fixed[name]
        kind: Kind = "noise" if name.startswith("aer:") else "fake"
        device = name.removeprefix("aer:")
        if device not in snapshots():
            raise KeyError(name)
        return BackendInfo(name, kind, False, DEVICE_GRADIENTS, device)

    def __iter__(self) -> Iterator[str]:
        yield from self._fixed
        yield from snapshots()
        yield from (f"aer:{name}" for name in snapshots())

    def __len__(self) -> int:
        return len(self._fixed) + 2 * len(snapshots())


BACKENDS: Mapping[str, BackendInfo] = _Backends()
"""Backend name -> what is known of it, without an account's devices and `aer:` with numbers."""


def check_backend_name(name: str) -> BackendInfo:
    """Return what is known of a backend.

    Whether an `ibm_NAME` exists, only the account knows; any is accepted here but retired ones.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The device is retired, or the numbers after `aer:` are not allowed.
    """
    if name in RETIRED:
        raise RequestError(retirement(name, _offered()))
    if re.fullmatch(r"ibm_[a-z0-9_]+", name):
        return BackendInfo(name, "ibm", False, DEVICE_GRADIENTS, name)
    if name.startswith("aer:") and "=" in name:
        noise = name.removeprefix("aer:")
        noise_numbers(noise)
        return BackendInfo(name, "noise", False, DEVICE_GRADIENTS, noise)
    if name.startswith("noise-aware:"):
        # Training's own: its gradient is that of the values, errors included.
        device = name.removeprefix("noise-aware:")
        if device not in snapshots():
            hint = "see `qhybrid backends`"
            raise UnknownNameError("device", device, ("fake_NAME",), hint, more=snapshots())
        return BackendInfo(name, "noise-aware", False, ("adjoint",), device)
    if name not in BACKENDS:
        hint = "see `qhybrid backends`"
        if name.startswith(("fake_", "aer:")) and not snapshots():
            hint = "fake devices come with qiskit-ibm-runtime: pip install qiskit-ibm-runtime"
        raise UnknownNameError("backend", name, FORMS, hint, more=BACKENDS)
    return BACKENDS[name]


def noise_numbers(noise: str) -> dict[str, float]:
    """Return the error probabilities of a noise like "depolarizing=0.01,readout=0.02".

    Returns:
        Values of "depolarizing", the error of every two-qubit gate, and "readout", the probability
        that a qubit is read wrongly; 0 where omitted.

    Raises:
        RequestError: A part is not one of these with a number in [0, 0.5].
    """
    numbers = dict.fromkeys(_NOISE_KEYS, 0.0)
    given: set[str] = set()
    for part in noise.split(","):
        key, _, text = part.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if key not in numbers or key in given or not 0 <= value <= 0.5:
            raise RequestError(
                f"backend 'aer:{noise}' has the part '{part}', but must be made of "
                f"{' and '.join(f'{known}=P' for known in _NOISE_KEYS)}, each once, P from 0 to "
                "0.5; e.g. aer:depolarizing=0.01,readout=0.02"
            )
        numbers[key] = value
        given.add(key)
    return numbers


def check_gradient(backend: str, gradient: str | None) -> str:
    """Return the gradient method to use on a backend: the one asked for, or its best one.

    Raises:
        UnknownNameError: There is no backend, or no gradient method, of this name.
        RequestError: The backend does not support the method.
    """
    info = check_backend_name(backend)
    if gradient is None:
        return info.gradients[0]
    known = sorted({*EXACT_GRADIENTS, *DEVICE_GRADIENTS})
    if gradient not in known:
        raise UnknownNameError("gradient", gradient, known)
    if gradient not in info.gradients:
        raise RequestError(
            f"backend '{backend}' has no gradient '{gradient}'; it supports "
            f"{', '.join(info.gradients)}"
        )
    return gradient


def _offered() -> tuple[str, ...] | None:
    """Return the names of the account's devices, or None where there is no account to ask."""
    from qhybrid_runtime.hardware.saved_account import account_is_saved

    if not account_is_saved():
        return None
    from qhybrid_runtime.hardware.accounts import offered_devices

    return offered_devices()
