"""Make the table of fake QPUs anew: `python -m qhybrid_runtime.hardware.snapshot_table`.

It reads the calibration files of the installed qiskit-ibm-runtime; run it after an upgrade.
"""

import json
from pathlib import Path
from statistics import median
from typing import Any

from qhybrid_runtime.hardware.snapshots import snapshot_folders

TABLE = Path(__file__).with_name("snapshots.json")

#: Errors from here on mark a pair of qubits that does not work.
_BROKEN = 0.5


def table_text() -> str:
    """Return the table as JSON: name -> qubits, entangling gate, its median error."""
    rows = [
        f"  {json.dumps(name)}: {json.dumps(_row(name, folder))}"
        for name, folder in snapshot_folders().items()
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _row(name: str, folder: Path) -> list[Any]:
    short = name.removeprefix("fake_")
    configuration = json.loads((folder / f"conf_{short}.json").read_text(encoding="utf-8"))
    properties = json.loads((folder / f"props_{short}.json").read_text(encoding="utf-8"))
    errors: dict[str, list[float]] = {}
    for gate in properties["gates"]:
        if len(gate["qubits"]) != 2 or gate["gate"] not in configuration["basis_gates"]:
            continue
        found = [p["value"] for p in gate["parameters"] if p["name"] == "gate_error"]
        errors.setdefault(gate["gate"], []).extend(e for e in found if e < _BROKEN)
    entangling = max(errors, key=lambda gate: (len(errors[gate]), gate != "rzz"), default=None)
    known = errors[entangling] if entangling is not None else []
    return [configuration["n_qubits"], entangling, round(median(known), 6) if known else None]


if __name__ == "__main__":
    TABLE.write_text(table_text(), encoding="utf-8")
