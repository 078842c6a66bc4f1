"""List the fake QPUs that come with qiskit-ibm-runtime, without importing it."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """The figures of a fake QPU.

    Attributes:
        name: The name that `get_backend` takes, e.g. "fake_fez".
        qubits: Number of qubits, or None where the table does not have the QPU.
        two_qubit_gate: Name of its entangling gate, or None where it has none.
        two_qubit_error: Median error of that gate over all pairs that work, or None.
    """

    name: str
    qubits: int | None
    two_qubit_gate: str | None
    two_qubit_error: float | None


@cache
def snapshot_folders() -> dict[str, Path]:
    """Return the folder of every fake QPU by its name, empty without qiskit-ibm-runtime."""
    # Finding a top-level package imports nothing; a submodule's would import its parents.
    spec = find_spec("qiskit_ibm_runtime")
    if spec is None or not spec.submodule_search_locations:
        return {}
    root = Path(spec.submodule_search_locations[0]) / "fake_provider" / "backends"
    if not root.is_dir():
        return {}
    return {
        f"fake_{folder.name}": folder
        for folder in sorted(root.iterdir())
        if (folder / f"fake_{folder.name}.py").is_file()
    }


def large_enough(qubits: int, most: int = 3) -> str:
    """Return, for people, fake QPUs with so many qubits that have two-qubit gates.

    They are the smallest one, and the largest ones with the fewest errors.
    """
    known = [each for each in snapshots().values() if each.two_qubit_error is not None]
    fitting = [each for each in known if (each.qubits or 0) >= qubits]
    fitting.sort(key=lambda each: (-(each.qubits or 0), each.two_qubit_error))
    chosen = dict.fromkeys([*fitting[-1:], *fitting[: most - 1]])
    return ", ".join(f"{each.name} ({each.qubits})" for each in chosen)


@cache
def snapshots() -> dict[str, Snapshot]:
    """Return what is known of every fake QPU that is installed, the largest first."""
    table = json.loads(files("qhybrid_runtime.hardware").joinpath("snapshots.json").read_text())
    known = [Snapshot(name, *table.get(name, (None, None, None))) for name in snapshot_folders()]
    known.sort(key=lambda snapshot: (-(snapshot.qubits or 0), snapshot.name))
    return {snapshot.name: snapshot for snapshot in known}
