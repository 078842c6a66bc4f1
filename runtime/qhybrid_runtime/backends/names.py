"""How the built-in backends' names are read, without importing torch or Qiskit."""

import os
import re
from importlib.util import find_spec

from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime.hardware.retired import RETIRED, retirement
from qhybrid_runtime.hardware.snapshots import snapshots

SEE_BACKENDS = "see `qhybrid backends`"

_NOISE_KEYS = ("depolarizing", "readout")


def read_fake(name: str) -> str | None:
    """Return the name if it is that of a fake device."""
    return name if name in snapshots() else None


def read_ibm(name: str) -> str | None:
    """Return the name if it can be that of an IBM QPU; whether it is, only an account knows."""
    return name if name == "ibm" or re.fullmatch(r"ibm_[a-z0-9_]+", name) else None


def read_fake_fleet(name: str) -> str | None:
    """Return the names of fake devices, with commas between; None for anything else.

    Raises:
        RequestError: See `fleet_members`.
    """
    members = fleet_members(name)
    return ",".join(members) if members and read_fake(members[0]) else None


def read_ibm_fleet(name: str) -> str | None:
    """Return the names of IBM QPUs, with commas between; None for anything else.

    Raises:
        RequestError: See `fleet_members`.
    """
    members = fleet_members(name)
    return ",".join(members) if members and read_ibm(members[0]) else None


def fleet_members(name: str) -> tuple[str, ...]:
    """Return the QPUs of a name like "ibm_fez,ibm_kingston"; none of a name without commas.

    Raises:
        RequestError: A name is there twice or retired, or they are not all QPUs of one kind.
        UnknownNameError: There is no such fake device.
    """
    if "," not in name:
        return ()
    members = tuple(each.strip() for each in name.split(","))
    for member in members:
        if members.count(member) > 1:
            raise RequestError(
                f"backend '{name}' names '{member}' twice, but a QPU takes one share of a round; "
                "name each once"
            )
        if member in RETIRED:
            raise RequestError(retirement(member, None))
        if member.startswith("fake_") and read_fake(member) is None:
            raise UnknownNameError("device", member, ("fake_NAME",), SEE_BACKENDS, more=snapshots())
        if member == "ibm":
            raise RequestError(
                f"backend '{name}' has 'ibm', the least busy QPU, which may be one of the others; "
                "name each QPU"
            )
        if not (read_fake(member) or read_ibm(member)):
            raise RequestError(
                f"backend '{name}' has '{member}', but only QPUs share rounds: fake_NAME,fake_NAME "
                "or ibm_NAME,ibm_NAME"
            )
    if len({member.startswith("fake_") for member in members}) > 1:
        raise RequestError(
            f"backend '{name}' mixes fake devices with real ones; name QPUs of one kind"
        )
    return members


def read_noisy_aer(name: str) -> str | None:
    """Return the device noise of `aer:NOISE`, a fake device or numbers.

    Raises:
        RequestError: The numbers are not allowed.
    """
    if not name.startswith("aer:"):
        return None
    noise = name.removeprefix("aer:")
    if "=" in noise:
        noise_numbers(noise)
        return noise
    return read_fake(noise)


def _is_module(name: str) -> bool:
    """Return whether a user has a module of this name, whose parts have names like `name:part`."""
    return any(map(os.path.exists, (f"{name}.py", name))) or find_spec(name) is not None


def read_other(name: str) -> str | None:
    """Return the function of `backend:MODULE:FUNCTION`.

    Raises:
        RequestError: There is none in the name.
    """
    if not name.startswith("backend:") or (name.count(":") == 1 and _is_module("backend")):
        return None
    reference = name.removeprefix("backend:")
    if not re.fullmatch(r"[\w.]+:[\w.]+", reference):
        raise RequestError(
            f"backend '{name}' must be backend:MODULE:FUNCTION, e.g. backend:my_lab:ion_trap, with "
            "a function that returns a Qiskit BackendV2"
        )
    return reference


def read_noise_aware(name: str) -> str | None:
    """Return the fake device of `noise-aware:NAME`.

    Raises:
        UnknownNameError: There is no such fake device.
    """
    if not name.startswith("noise-aware:"):
        return None
    return check_fake_qpu(name.removeprefix("noise-aware:"))


def check_fake_qpu(name: str) -> str:
    """Return the name of a fake QPU.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in snapshots():
        raise UnknownNameError("device", name, ("fake_NAME",), SEE_BACKENDS, more=snapshots())
    return name


def noise_numbers(noise: str) -> dict[str, float]:
    """Return the error probabilities of a noise like "depolarizing=0.01,readout=0.02".

    Returns:
        Values of "depolarizing", the error of every two-qubit gate, and "readout", the probability
        that a qubit is read wrongly; 0 where omitted.

    Raises:
        RequestError: A part is not one of these with a number in [0, 0.5].
    """
    given: dict[str, float] = {}
    for part in noise.split(","):
        key, _, text = part.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if key not in _NOISE_KEYS or key in given or not 0 <= value <= 0.5:
            raise RequestError(
                f"backend 'aer:{noise}' has the part '{part}', but must be made of "
                f"{' and '.join(f'{known}=P' for known in _NOISE_KEYS)}, each once, P from 0 to "
                "0.5; e.g. aer:depolarizing=0.01,readout=0.02"
            )
        given[key] = value
    return dict.fromkeys(_NOISE_KEYS, 0.0) | given
