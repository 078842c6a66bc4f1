"""What any circuits would cost on a QPU, from files or as Qiskit has them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.quantum_info import SparsePauliOp

from qhybrid.files import reading, user_path
from qhybrid_circuits.errors import QHybridError, RequestError
from qhybrid_circuits.files import regular
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.hardware.quote import Quote

#: More parameter sets than any job takes.
_MOST_SETS = 10_000_000


@dataclass(frozen=True)
class CircuitFigures:
    """A circuit as it would run on the QPU.

    Attributes:
        name: Its name.
        qubits: In use on the QPU.
        depth: Gate layers.
        two_qubit_gates: How many.
        success: The estimated success probability (ESP); None where it is not known.
    """

    name: str
    qubits: int
    depth: int
    two_qubit_gates: int
    success: float | None


@dataclass(frozen=True)
class CircuitBill:
    """What circuits would cost.

    Attributes:
        qpu: The QPU's own name.
        primitive: "estimator" or "sampler".
        circuits: Each of them, lowered.
        quote: By IBM's rule of thumb: as one round, unpacked, and by stock classes.
        service_seconds: QPU time that the service itself expects; None where it does not tell.
        service_silence: Why it does not, where it was asked.
    """

    qpu: str
    primitive: str
    circuits: tuple[CircuitFigures, ...]
    quote: Quote
    service_seconds: float | None
    service_silence: str


def read_circuits(files: Sequence[Path]) -> list[QuantumCircuit]:
    """Return the circuits of QPY and OpenQASM files, in order.

    Raises:
        RequestError: A file cannot be read, or has no circuit.
    """
    circuits: list[QuantumCircuit] = []
    for path in map(user_path, files):
        advice = "give files of QPY, or of OpenQASM 2 or 3"
        with reading(f"the circuits of '{path}' cannot be read", advice):
            found = _parsed(regular(path).read_bytes(), path.stem)
        circuits += found
    return circuits


def _parsed(content: bytes, name: str) -> list[QuantumCircuit]:
    if content[:6] == b"QISKIT":
        loaded: list[QuantumCircuit] = qpy.load(io.BytesIO(content))
        return loaded
    text = content.decode()
    if "OPENQASM 3" in text:
        circuit = qasm3.loads(text)
    else:
        circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    circuit.name = name
    return [circuit]


def circuit_bill(
    circuits: Sequence[QuantumCircuit],
    backend: str = "fake_fez",
    *,
    sets: int = 1,
    observables: str | None = None,
    **options: Any,
) -> CircuitBill:
    """Return what circuits would cost together; nothing is paid.

    Args:
        circuits: With final measurements they are sampled, unless `options` say otherwise.
        backend: `fake_NAME`, `ibm_NAME` or `ibm`.
        sets: Parameter sets of each circuit that has parameters.
        observables: Pauli strings, the last qubit first, between commas; Z on each qubit that is
            measured, or on each of all, where omitted.
        options: Keyword arguments of the backend, such as `shots`; None leaves one out.

    Raises:
        RequestError: A circuit, an option or the backend is not allowed.
        CircuitError: A circuit does not fit the QPU.
        QHybridError: The service cannot be reached.
    """
    if not 1 <= sets <= _MOST_SETS:
        raise RequestError(f"--sets must be 1 to {_MOST_SETS:,}, but is {sets}")
    info = check_backend_name(backend)
    if not info.runs_jobs:
        raise RequestError(
            f"the backend '{backend}' {info.refusal}, so that it costs nothing; use `fake_...` or "
            "`ibm...`"
        )
    measured = [bool(circuit.num_clbits) for circuit in circuits]
    if options.get("primitive") is None:
        sampled = observables is None and all(measured)
        options["primitive"] = "sampler" if sampled else "estimator"
    if options["primitive"] == "sampler" or "resilience_level" not in info.takes:
        options.pop("resilience_level", None)
    pubs = [_pub(circuit, sets, observables) for circuit in circuits]
    given = {name: value for name, value in options.items() if value is not None}
    with get_backend(backend, **given) as device:
        if not isinstance(device, QpuBackend):
            raise RequestError(f"the backend '{backend}' is no QPU; use `fake_...` or `ibm...`")
        quote, silence, seconds = device.quote_pubs(pubs), "", None
        if info.paid:
            try:
                seconds = device.service_seconds_of_pubs(pubs)
                silence = "" if seconds is not None else "it does not tell"
            except QHybridError as error:
                silence = str(error)
        figures = tuple(
            CircuitFigures(
                task.lowered.name,
                len(task.lowered.qubits),
                task.lowered.circuit.depth(),
                task.lowered.circuit.num_nonlocal_gates(),
                task.lowered.success_probability,
            )
            for task in device.estimator().lowered_tasks(pubs)
        )
        return CircuitBill(device.qpu.name, options["primitive"], figures, quote, seconds, silence)


def _pub(
    circuit: QuantumCircuit, sets: int, observables: str | None
) -> tuple[QuantumCircuit, list[list[SparsePauliOp]], np.ndarray]:
    """Return a PUB with random values of the parameters."""
    bare = circuit.remove_final_measurements(inplace=False)
    width = bare.num_qubits
    if observables is None:
        read = {
            circuit.find_bit(item.qubits[0]).index
            for item in circuit.data
            if item.operation.name == "measure"
        }
        column = [
            SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], width)
            for qubit in sorted(read) or range(width)
        ]
    else:
        column = [_observable(label.strip(), circuit, width) for label in observables.split(",")]
    values = np.random.default_rng(0).uniform(-np.pi, np.pi, (sets, bare.num_parameters))
    return bare, [[each] for each in column], values if bare.num_parameters else values[:1]


def _observable(label: str, circuit: QuantumCircuit, width: int) -> SparsePauliOp:
    if len(label) != width or not set(label) <= set("IXYZ") or not label:
        raise RequestError(
            f"--observables has '{label}', but must have strings of I, X, Y and Z as long as "
            f"circuit '{circuit.name}' has qubits, which are {width}"
        )
    return SparsePauliOp(label)
