import hashlib
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction, ParameterExpression
from qiskit.quantum_info import SparsePauliOp

from qhybrid_runtime.standard_gates import is_standard


def fingerprint(*parts: str | bytes) -> str:
    """Return a hash of texts and bytes, the same in every process, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        # With its length, so that moving a boundary between parts changes the hash.
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()


def circuit_text(circuit: QuantumCircuit) -> str:
    """Return what a circuit does, gate by gate: equal for equal circuits, in every process.

    Qiskit's own formats hold identifiers that differ from process to process.
    """
    lines = [f"{circuit.num_qubits} qubits"]
    for item in circuit.data:
        places = [circuit.find_bit(bit).index for bit in item.qubits]
        operation = item.operation
        lines.append(f"{operation.name}{_parameters(operation)} {places}")
        definition = getattr(operation, "definition", None)
        if definition is not None and not is_standard(operation):
            lines.append(f"({circuit_text(definition)})")
        lines.append(str(getattr(operation, "ctrl_state", "")))
    return "\n".join(lines)


def observables_text(observables: Sequence[SparsePauliOp]) -> str:
    """Return observables as text, in double precision."""
    return "\n".join(
        " ".join(f"{coefficient!r}*{label}" for label, coefficient in observable.to_list())
        for observable in observables
    )


def _parameters(operation: Instruction) -> list[str]:
    texts = []
    for parameter in getattr(operation, "params", ()):
        if isinstance(parameter, np.ndarray):
            texts.append(hashlib.sha256(np.ascontiguousarray(parameter).tobytes()).hexdigest())
        elif isinstance(parameter, ParameterExpression):
            texts.append(str(parameter))
        elif isinstance(parameter, float | np.floating):
            texts.append(float(parameter).hex())
        else:
            texts.append(repr(parameter))
    return texts
