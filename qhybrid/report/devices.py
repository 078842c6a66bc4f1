"""The devices of a report: their names, and how to get their targets when they are needed."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from qhybrid_circuits.errors import RequestError, TooFewQubitsError, UnknownNameError
from qhybrid_runtime.hardware.retired import RETIRED, retirement
from qhybrid_runtime.hardware.snapshots import snapshot_folders, snapshots

if TYPE_CHECKING:
    from qiskit.transpiler import Target

ALL = "all"

#: How targets are written.
FORMS = ("fake_NAME", "ibm_NAME", "ibm", ALL)


@dataclass(frozen=True)
class Device:
    """A device that circuits are costed for.

    Attributes:
        name: As it is shown.
        fingerprint: The same as long as its gates and its calibration are.
        load: Returns its target; slow for fake devices, which import the client.
    """

    name: str
    fingerprint: str
    load: "Callable[[], Target]"


def find_devices(names: Sequence[str], qubits: int, fractional: bool) -> list[Device]:
    """Look up devices.

    Args:
        names: `fake_NAME`, `ibm_NAME`, `ibm` for the least busy one, or `all` for every fake
            device with enough qubits that has a two-qubit gate that works.
        qubits: What "enough" is.
        fractional: Whether a real device is asked for its fractional gates.

    Raises:
        UnknownNameError: There is no such device.
        RequestError: The device is retired, or the account cannot be used.
        TooFewQubitsError: A device is too small.
    """
    wanted: list[str] = []
    for name in names:
        known = snapshots().values() if name == ALL else ()
        large = (each for each in known if (each.qubits or 0) >= qubits)
        wanted += [each.name for each in large if qubits == 1 or each.two_qubit_error is not None]
        wanted += [name] if name != ALL else []
    return [_find(name, qubits, fractional) for name in dict.fromkeys(wanted)]


def check_target_names(names: Sequence[str]) -> None:
    """Refuse a target that nobody can know; an account's own devices are not asked for.

    Raises:
        UnknownNameError: There is no such device.
        RequestError: The device is retired.
    """
    for name in names:
        if name in RETIRED:
            raise RequestError(retirement(name, None).replace("backend", "target"))
        if "," in name:
            raise RequestError(
                f"target '{name}' names several devices, but each has a report of its own; give "
                "--target for each"
            )
        if name not in snapshots() and name not in (ALL, "ibm") and not name.startswith("ibm_"):
            hint = "see `qhybrid backends`"
            if not snapshots():
                hint = "fake devices come with qiskit-ibm-runtime: pip install qiskit-ibm-runtime"
            raise UnknownNameError("target", name, FORMS, hint, more=snapshots())


def _find(name: str, qubits: int, fractional: bool) -> Device:
    check_target_names([name])
    if name == "ibm" or name.startswith("ibm_"):
        return _real(name, qubits, fractional)
    count = snapshots()[name].qubits
    _check_size(name, count if count is not None else qubits, qubits)
    return Device(name, _calibration_hash(name), lambda: _fake_target(name))


def _check_size(name: str, available: int, qubits: int) -> None:
    if available < qubits:
        raise TooFewQubitsError(
            f"target '{name}' has {available} qubits, but the circuit has {qubits}; "
            "take a larger device (`qhybrid backends` lists them) or `--target all`",
            qubits,
        )


def _fake_target(name: str) -> "Target":
    from qhybrid_runtime.hardware.targets import fake_target

    return fake_target(name)


def _calibration_hash(name: str) -> str:
    digest = hashlib.sha256(name.encode())
    for package in ("qiskit", "qiskit-ibm-runtime"):
        digest.update(version(package).encode())
    for path in sorted(snapshot_folders()[name].glob("*.json")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _real(name: str, qubits: int, fractional: bool) -> Device:
    from qhybrid_circuits.disk_cache import content_key, target_content
    from qhybrid_runtime.hardware.accounts import find_qpu, open_service, speaking_to_service

    backend = find_qpu(open_service(), name, fractional)
    with speaking_to_service(f"read the calibration of '{name}'"):
        target = backend.target
    _check_size(str(backend.name), int(target.num_qubits), qubits)
    return Device(str(backend.name), content_key(target_content(target)), lambda: target)
