"""The table of backends, one row each, known without importing torch or Qiskit."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import Registry, load_reference
from qhybrid_runtime.backends import names as reading
from qhybrid_runtime.backends.info import (
    DEVICE_GRADIENTS,
    EXACT_GRADIENTS,
    JOB_OPTIONS,
    BackendInfo,
)
from qhybrid_runtime.hardware import accounts
from qhybrid_runtime.hardware.retired import RETIRED, retirement
from qhybrid_runtime.hardware.snapshots import snapshots

if TYPE_CHECKING:
    from qhybrid_runtime.backends.backend import Backend

ROWS = (
    BackendInfo(
        "statevector",
        "qhybrid_runtime.backends.statevector:StatevectorBackend",
        forms={"statevector": "exact; qhybrid's own engine, the fastest"},
        exact=True,
        gradients=EXACT_GRADIENTS,
        bits="qhybrid_runtime.randomness.factory:engine_bits",
    ),
    BackendInfo(
        "aer",
        "qhybrid_runtime.backends.aer:AerBackend",
        forms={"aer": "exact; values from Qiskit Aer's statevector simulator"},
        exact=True,
        gradients=EXACT_GRADIENTS,
        bits="qhybrid_runtime.randomness.factory:aer_bits",
    ),
    BackendInfo(
        "aer:",
        "qhybrid_runtime.backends.noisy_aer:NoisyAerBackend",
        read=reading.read_noisy_aer,
        argument="noise",
        forms={
            "aer:fake_NAME": "the noise of any fake device below",
            "aer:depolarizing=P,readout=P": "the same error on every cz and every readout",
        },
        names=lambda: (f"aer:{name}" for name in snapshots()),
        seeded=True,
        takes=frozenset({"shots", "mitigate", "fractional", "hardware_steps"}),
        refusal="simulates noise, not jobs",
        bits="qhybrid_runtime.randomness.factory:simulated_bits",
    ),
    BackendInfo(
        "fake",
        "qhybrid_runtime.backends.fake:FakeBackend",
        read=reading.read_fake,
        argument="name",
        forms={"fake_NAME": "a device's last calibration, simulated here"},
        names=snapshots,
        seeded=True,
        runs_jobs=True,
        takes=JOB_OPTIONS - {"mode", "max_wait_seconds"},
        refusal="runs on this machine",
        bits="qhybrid_runtime.randomness.factory:simulated_bits",
        listing="qhybrid_runtime.backends.catalog:fake_records",
    ),
    BackendInfo(
        "ibm",
        "qhybrid_runtime.backends.ibm:IbmBackend",
        read=reading.read_ibm,
        argument="name",
        forms={"ibm": "the least busy QPU of the account", "ibm_NAME": "a QPU of the account"},
        names=lambda: ("ibm",),
        runs_jobs=True,
        paid=True,
        takes=JOB_OPTIONS,
        bits="qhybrid_runtime.randomness.factory:ibm_bits",
        listing="qhybrid_runtime.backends.catalog:account_records",
    ),
    BackendInfo(
        "fake fleet",
        "qhybrid_runtime.backends.fleet:FakeFleet",
        read=reading.read_fake_fleet,
        argument="name",
        forms={"fake_NAME,fake_NAME": "several of them, which share the images of each round"},
        bits="qhybrid_runtime.randomness.factory:first_bits",
        listing="qhybrid_runtime.backends.catalog:fleet_records",
        seeded=True,
        runs_jobs=True,
        takes=JOB_OPTIONS - {"mode", "max_wait_seconds"},
        refusal="runs on this machine",
    ),
    BackendInfo(
        "ibm fleet",
        "qhybrid_runtime.backends.fleet:IbmFleet",
        read=reading.read_ibm_fleet,
        argument="name",
        forms={"ibm_NAME,ibm_NAME": "several QPUs, which share the images of each round"},
        bits="qhybrid_runtime.randomness.factory:first_bits",
        listing="qhybrid_runtime.backends.catalog:fleet_records",
        runs_jobs=True,
        paid=True,
        takes=JOB_OPTIONS,
    ),
    BackendInfo(
        "backend:",
        "qhybrid_runtime.backends.other:OtherBackend",
        read=reading.read_other,
        argument="reference",
        forms={"backend:MODULE:FUNCTION": "any Qiskit BackendV2, which the function returns"},
        runs_jobs=True,
        takes=frozenset(
            {"shots", "primitive", "pack", "fractional", "hardware_steps", "max_qpu_seconds"}
        ),
        refusal="runs by Qiskit's primitives for any backend",
    ),
    # What `quantum.noise_aware` trains on: its gradient is that of the values, errors included.
    BackendInfo(
        "noise-aware:",
        "qhybrid_runtime.backends.noise_aware:NoiseAwareBackend",
        read=reading.read_noise_aware,
        argument="name",
        gradients=("adjoint",),
        seeded=True,
        takes=frozenset({"hardware_steps"}),
        refusal="draws errors without shots or jobs",
        bits="qhybrid_runtime.randomness.factory:simulated_bits",
    ),
)
"""The built-in backends, the default first."""


class _Backends(Mapping[str, BackendInfo]):
    """Every backend that has a name of its own here; those of installed packages last."""

    def __getitem__(self, name: str) -> BackendInfo:
        listed = any(name in _names(row) for row in ROWS)
        return check_backend_name(name) if listed else OTHERS[name]

    def __iter__(self) -> Iterator[str]:
        for row in ROWS:
            yield from _names(row)
        yield from OTHERS

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _names(row: BackendInfo) -> tuple[str, ...]:
    """Return the names of a row that listings show."""
    if row.forms is None:
        return ()
    return tuple(row.names()) or (() if row.read else (row.name,))


def _read(row: BackendInfo, name: str) -> str | None:
    if row.read is None:
        return name if name == row.name else None
    return row.read(name)


def _adapt(name: str, found: Any) -> BackendInfo:
    """Return the row of an installed package's backend: a row, or a subclass of `Backend`."""
    if isinstance(found, BackendInfo):
        return replace(found, name=name)
    from qhybrid_runtime.backends.backend import Backend

    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise RequestError(
            f"backend '{name}' is a {type(found).__name__}, but must be a subclass of "
            "qhybrid_runtime.Backend or a BackendInfo"
        )
    return BackendInfo(
        name,
        f"{found.__module__}:{found.__qualname__}",
        forms={name: (inspect.getdoc(found) or found.__name__).splitlines()[0]},
        exact=found.exact,
        gradients=found.gradients,
        seeded="seed" in inspect.signature(found).parameters,
        refusal="takes no such option",
    )


OTHERS: Registry[BackendInfo] = Registry("backend", (), group="qhybrid.backends", adapt=_adapt)
"""The backends of installed packages, and those named as `module:Class`."""

BACKENDS: Mapping[str, BackendInfo] = _Backends()
"""Backend name -> what is known of it, without an account's QPUs and `aer:` with numbers."""


def check_backend_name(name: str) -> BackendInfo:
    """Return what is known of a backend.

    Whether an `ibm_NAME` exists, only the account knows; any is accepted here but retired ones.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The QPU is retired, or the numbers after `aer:` are not allowed.
    """
    if name in RETIRED:
        raise RequestError(retirement(name, accounts.offered_qpus()))
    for row in ROWS:
        value = _read(row, name)
        if value is not None:
            return replace(row, name=name, value=value)
    ours = name.startswith(("fake_", "aer:"))
    if ours or (name not in OTHERS and ":" not in name):
        hint = reading.SEE_BACKENDS
        if ours and not snapshots():
            hint = "fake devices come with qiskit-ibm-runtime: pip install qiskit-ibm-runtime"
        known = [form for row in ROWS for form in row.forms or ()]
        raise UnknownNameError("backend", name, [*known, *OTHERS], hint, more=BACKENDS)
    return OTHERS.find(name, reading.SEE_BACKENDS)


def check_bits(name: str) -> BackendInfo:
    """Return what is known of a backend that is a source of random bits.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: It is no such source.
    """
    info = check_backend_name(name)
    if info.bits is None:
        known = [form for row in ROWS if row.bits is not None for form in row.forms or ()]
        raise RequestError(
            f"the backend '{name}' is no source of random bits; take one of {', '.join(known)}"
        )
    return info


def check_gradient(backend: str, gradient: str | None) -> str:
    """Return the gradient method to use on a backend: the one asked for, or its best one.

    Raises:
        UnknownNameError: There is no backend, or no gradient method, of this name.
        RequestError: The backend does not support the method.
    """
    return supported_gradient(backend, check_backend_name(backend).gradients, gradient)


def supported_gradient(backend: str, gradients: Sequence[str], gradient: str | None) -> str:
    """Return one of the gradient methods of a backend: the one asked for, or the first.

    Raises:
        UnknownNameError: There is no gradient method of this name.
        RequestError: The backend does not support the method.
    """
    if gradient is None:
        return gradients[0]
    known = sorted({*EXACT_GRADIENTS, *DEVICE_GRADIENTS})
    if gradient not in known:
        raise UnknownNameError("gradient", gradient, known)
    if gradient not in gradients:
        raise RequestError(
            f"backend '{backend}' has no gradient '{gradient}'; it supports {', '.join(gradients)}"
        )
    return gradient


def get_backend(name: str = "statevector", **options: Any) -> "Backend":
    """Return the backend of a name.

    Args:
        name: As `qhybrid backends` lists them: `statevector`, `aer`, `aer:fake_NAME`,
            `aer:depolarizing=P,readout=P`, `fake_NAME`, `ibm`, `ibm_NAME`, or several of either
            of these with commas between; that of an installed package; or `module:Class`.
        options: Keyword arguments of the backend's class.

    Raises:
        UnknownNameError: There is no backend of this name.
        RequestError: The QPU is retired; the backend does not take one of the options, or
            refuses its value; there is no account, or it has no such QPU.
        QHybridError: The service cannot be reached.

    Example:
        >>> from qhybrid_runtime import get_backend
        >>> backend = get_backend("fake_fez", shots=256)
        >>> backend.exact, backend.target.num_qubits
        (False, 156)
    """
    info = check_backend_name(name)
    backend_class = load_reference(info.home)
    allowed = [option for option in _options_of(backend_class) if option != info.argument]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise RequestError(
            f"backend '{name}' does not take the options {', '.join(unknown)}; {takes}"
        )
    if info.argument is not None:
        options[info.argument] = info.value
    backend: Backend = backend_class(**options)
    return backend


def _options_of(backend_class: Any) -> list[str]:
    """Return the keyword arguments of a class; where it takes more, those of its `options`."""
    parameters = inspect.signature(backend_class).parameters.values()
    named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(named) < len(parameters):
        named += list(inspect.signature(backend_class.options).parameters)
    return named
