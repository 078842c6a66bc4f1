"""The trained circuits of a model as OpenQASM 3 and QPY."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qiskit import QuantumCircuit, qasm3, qpy
from qiskit.transpiler import Target

from qhybrid.files import replacing, write_text
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid_circuits import lower
from qhybrid_runtime import QuantumLayer


@dataclass(frozen=True)
class WrittenCircuit:
    """A circuit on disk.

    Attributes:
        name: The layer that it belongs to, and the target that it was lowered to.
        files: The files that it was written to, fewer than two where a format lacks one of its
            instructions.
    """

    name: str
    files: tuple[Path, ...]


def write_circuits(run: Run, folder: Path, target: Target | None = None) -> list[WrittenCircuit]:
    """Write each circuit with its trained weights bound and its inputs symbolic.

    Args:
        run: Of a model with circuits.
        folder: Where to.
        target: A QPU that each is lowered to, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(name, circuit, folder) for name, circuit in _circuits(run, target)]


def _circuits(run: Run, target: Target | None) -> Iterator[tuple[str, QuantumCircuit]]:
    for name, layer in load_model(run.folder).named_modules():
        if not isinstance(layer, QuantumLayer):
            continue
        variational = layer.variational
        weights = layer.weight.detach().cpu().double().numpy()
        used = variational.circuit.parameters
        values = {
            w: float(v) for w, v in zip(variational.weights, weights, strict=True) if w in used
        }
        yield name, variational.circuit.assign_parameters(values)
        if target is not None:
            lowered = lower(variational, target, weights=weights)
            yield f"{name}-lowered", lowered.circuit


def _write(name: str, circuit: QuantumCircuit, folder: Path) -> WrittenCircuit:
    files = []
    binary, text = folder / f"{name}.qpy", folder / f"{name}.qasm"
    try:
        source = qasm3.dumps(circuit)
    except (qasm3.QASM3ExporterError, ValueError, TypeError):
        source = ""  # amplitude encodings of symbolic features have no definition in gates
    if source:
        write_text(text, source)
        files.append(text)
    try:
        with replacing(binary) as temporary, temporary.open("wb") as file:
            qpy.dump(circuit, file)
        files.append(binary)
    except (qpy.QpyError, ValueError, TypeError):
        pass
    return WrittenCircuit(name, tuple(files))
