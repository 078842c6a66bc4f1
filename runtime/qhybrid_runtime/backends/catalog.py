"""Every backend as a record: what `qhybrid backends` shows."""

import statistics
from typing import Any

from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime.backends.registry import DEVICE_GRADIENTS, EXACT_GRADIENTS
from qhybrid_runtime.hardware.retired import RETIRED
from qhybrid_runtime.hardware.saved_account import account_is_saved
from qhybrid_runtime.hardware.snapshots import Snapshot, snapshots

Record = dict[str, Any]

#: Fake devices whose error values are made up.
_MADE_UP = ("fake_nighthawk",)


def backend_catalog() -> list[Record]:
    """Return a record of every backend, those of the account among them where there is one.

    Without an account nothing is asked for over the network, and nothing heavy is imported.

    Returns:
        Records of `name`, `qubits`, `two_qubit_error` (median over all pairs), `exact`,
        `gradients`, `usable` (on this machine, as it is) and `note`.
    """
    simulators = [
        _record("statevector", "exact; qhybrid's own engine, the fastest", exact=True),
        _record("aer", "exact; values from Qiskit Aer's statevector simulator", exact=True),
        _record("aer:fake_NAME", "the noise of any fake device below", usable=bool(snapshots())),
        _record("aer:depolarizing=P,readout=P", "the same error on every cz and every readout"),
    ]
    return [*simulators, *_account_records(), *map(_fake_record, snapshots().values())]


def _record(
    name: str,
    note: str,
    *,
    qubits: int | None = None,
    two_qubit_error: float | None = None,
    exact: bool = False,
    usable: bool = True,
) -> Record:
    return {
        "name": name,
        "qubits": qubits,
        "two_qubit_error": two_qubit_error,
        "exact": exact,
        "gradients": list(EXACT_GRADIENTS if exact else DEVICE_GRADIENTS),
        "usable": usable,
        "note": note,
    }


def _fake_record(snapshot: Snapshot) -> Record:
    real = f"ibm_{snapshot.name.removeprefix('fake_')}"
    note = f"offline; two-qubit gate {snapshot.two_qubit_gate or 'none'}"
    if snapshot.name in _MADE_UP:
        note += "; made-up errors"
    elif real in RETIRED:
        note += f"; {real} was retired on {RETIRED[real]}"
    broken = snapshot.two_qubit_gate is not None and snapshot.two_qubit_error is None
    if broken:
        note += "; none works in this calibration"
    return _record(
        snapshot.name,
        note,
        qubits=snapshot.qubits,
        two_qubit_error=snapshot.two_qubit_error,
        usable=not broken,
    )


def _account_records() -> list[Record]:
    if not account_is_saved():
        return [_record("ibm", "needs an account; none is saved", usable=False)]
    try:
        return _devices_of_account()
    except QHybridError as error:
        return [_record("ibm", str(error), usable=False)]


def _devices_of_account() -> list[Record]:
    from qhybrid_runtime.hardware.accounts import open_service, plan_of, speaking_to_service

    service = open_service()
    with speaking_to_service("list the account's devices"):
        backends = sorted(service.backends(), key=lambda backend: str(backend.name))
        status = {backend.name: backend.status() for backend in backends}
    plans = {backend.name: plan_of(service, backend) for backend in backends}
    records = [_record("ibm", "the least busy device of the account", usable=bool(backends))]
    for backend in backends:
        plan, state = plans[backend.name], status[backend.name]
        note = f"plan {plan.name}: {'sessions' if plan.sessions else 'no sessions'}"
        if plan.left_seconds is not None:
            note += f", {plan.left_seconds:g} s of QPU time left"
        note += f"; {state.pending_jobs} jobs waiting"
        records.append(
            _record(
                str(backend.name),
                note,
                qubits=int(backend.target.num_qubits),
                two_qubit_error=_median_error(backend.target),
                usable=bool(state.operational),
            )
        )
    return records


def _median_error(target: Any) -> float | None:
    """Return the median error of a target's two-qubit gates, without pairs that do not work."""
    errors = [
        properties.error
        for name in target.operation_names
        for qubits, properties in (target[name] or {}).items()
        if qubits is not None and len(qubits) == 2 and properties is not None
        if properties.error is not None and properties.error < 0.5
    ]
    return round(statistics.median(errors), 6) if errors else None
