"""Every backend as a record: what `qhybrid backends` shows."""

import statistics
from typing import Any

from qhybrid_circuits.errors import QHybridError
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.backends.registry import OTHERS, ROWS
from qhybrid_runtime.hardware.accounts import account_is_saved
from qhybrid_runtime.hardware.retired import RETIRED
from qhybrid_runtime.hardware.snapshots import snapshots

Record = dict[str, Any]

#: Fake devices whose error values are made up.
_MADE_UP = ("fake_nighthawk",)

#: A list of records longer than this comes after the short ones.
_LONG = 20


def backend_catalog() -> list[Record]:
    """Return a record of every backend, those of the account among them where there is one.

    Without an account nothing is asked for over the network, and nothing heavy is imported.

    Returns:
        Records of `name`, `qubits`, `two_qubit_error` (median over all pairs), `exact`,
        `gradients`, `usable` (on this machine, as it is) and `note`.
    """
    lists = [_records(row) for row in [*ROWS, *OTHERS.values()]]
    return [record for each in sorted(lists, key=lambda each: len(each) > _LONG) for record in each]


def _records(row: BackendInfo) -> list[Record]:
    if row.listing is not None:
        records: list[Record] = load_reference(row.listing)(row)
        return records
    # Names of a form with a placeholder are those that the row knows.
    return [
        _record(row, form, note, "NAME" not in form or any(row.names()))
        for form, note in (row.forms or {}).items()
    ]


def fake_records(row: BackendInfo) -> list[Record]:
    """Return a record of every fake device."""
    records = []
    for name, snapshot in snapshots().items():
        real, gate = f"ibm_{name.removeprefix('fake_')}", snapshot.two_qubit_gate
        note = f"offline; two-qubit gate {gate or 'none'}"
        if name in _MADE_UP:
            note += "; made-up errors"
        elif real in RETIRED:
            note += f"; {real} was retired on {RETIRED[real]}"
        error = snapshot.two_qubit_error
        broken = gate is not None and error is None
        note += "; none works in this calibration" if broken else ""
        records.append(_record(row, name, note, not broken, snapshot.qubits, error))
    return records


def account_records(row: BackendInfo) -> list[Record]:
    """Return a record of every QPU of the account, or one that says why there is none."""
    if not account_is_saved():
        return [_record(row, "ibm", "needs an account; none is saved", False)]
    try:
        return _qpus_of_account(row)
    except QHybridError as error:
        return [_record(row, "ibm", str(error), False)]


def fleet_records(row: BackendInfo) -> list[Record]:
    """Return a record of the names of several QPUs, fake ones or those of an account."""
    usable = account_is_saved() if row.paid else bool(snapshots())
    return [_record(row, form, note, usable) for form, note in (row.forms or {}).items()]


def _record(row: BackendInfo, name: str, note: str, usable: bool, *figures: float | None) -> Record:
    qubits, error = figures or (None, None)
    abilities = {"exact": row.exact, "gradients": list(row.gradients), "usable": usable}
    return {"name": name, "qubits": qubits, "two_qubit_error": error, **abilities, "note": note}


def _qpus_of_account(row: BackendInfo) -> list[Record]:
    from qhybrid_runtime.hardware.accounts import open_service, plan_of, speaking_to_service
    from qhybrid_runtime.hardware.client_internals import qpu_names

    service = open_service()
    with speaking_to_service("list the account's devices"):
        backends = sorted(service.backends(), key=lambda backend: str(backend.name))
        if not backends:
            qpu_names(service)  # which raises what the client took for an account without QPUs
        status = {backend.name: backend.status() for backend in backends}
    plans = {backend.name: plan_of(service, backend) for backend in backends}
    records = [_record(row, "ibm", "the least busy device of the account", bool(backends))]
    for backend in backends:
        plan, state = plans[backend.name], status[backend.name]
        note = f"plan {plan.name}: {'sessions' if plan.sessions else 'no sessions'}"
        if plan.left_seconds is not None:
            note += f", {plan.left_seconds:g} s of QPU time left"
        note += f"; {state.pending_jobs} jobs waiting"
        figures = (int(backend.target.num_qubits), _median_error(backend.target))
        records.append(_record(row, str(backend.name), note, bool(state.operational), *figures))
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
