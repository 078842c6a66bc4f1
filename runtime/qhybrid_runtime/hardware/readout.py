"""Readout errors that one job learns and later ones are corrected by.

The method is twirled readout error extinction (van den Berg et al., arXiv:2012.09738), which the
client's Estimator does in every job anew: where readout is twirled, an error shrinks each Pauli
string by the same factor whatever the state, and the state |0...0> tells it.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.hardware.round_plan import LoweredPub

#: How long readout errors count as known: QPUs are calibrated once a day, and drift in between.
FRESH = timedelta(hours=1)

Tables = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ReadoutCalibration:
    """What one job has learnt of readout errors.

    Attributes:
        name: Identifies it.
        time: When it was learnt, as ISO 8601.
        factors: By what readout shrinks Z of each of the QPU's qubits, shape (num_qubits,).
    """

    name: str
    time: str
    factors: tuple[float, ...]

    @classmethod
    def read(cls, content: dict[str, Any]) -> "ReadoutCalibration":
        """Return what `asdict` made plain.

        Raises:
            ValueError: It is something else; or KeyError, or TypeError.
        """
        factors = tuple(map(float, content["factors"]))
        if not np.isfinite(factors).all():
            raise ValueError("a factor of readout is not finite")
        if datetime.fromisoformat(content["time"]).tzinfo is None:
            raise ValueError(f"time {content['time']} without a zone")
        return cls(str(content["name"]), content["time"], factors)

    @property
    def fresh(self) -> bool:
        """Whether it is recent enough to be used for new jobs."""
        return timedelta() <= datetime.now(UTC) - datetime.fromisoformat(self.time) < FRESH


def new_name() -> str:
    """Return a name for a calibration that is to be made."""
    return f"readout-{uuid.uuid4().hex[:12]}"


def learning_pub(target: Target) -> LoweredPub:
    """Return a PUB that measures Z of every qubit in |0...0>."""
    width = int(target.num_qubits)
    everywhere = tuple(range(width))
    lowered = LoweredCircuit("readout", QuantumCircuit(width), everywhere, everywhere, False, None)
    strings = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], width) for q in everywhere]
    return LoweredPub(lowered, tuple(strings), np.empty((1, 0)))


def calibration(name: str, table: Tables) -> ReadoutCalibration:
    """Return what the values of `learning_pub` (num_qubits, 1) say."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return ReadoutCalibration(name, now, tuple(np.asarray(table[0])[:, 0].tolist()))


def by_strings(pub: LoweredPub) -> LoweredPub:
    """Return a PUB that estimates every Pauli string of the observables on its own."""
    strings = [SparsePauliOp(pauli) for each in pub.observables for pauli in each.paulis]
    return replace(pub, observables=tuple(strings))


def corrected(pub: LoweredPub, table: Tables, known: ReadoutCalibration) -> Tables:
    """Return the estimates of a PUB's observables, from those of `by_strings(pub)`.

    Standard errors of a sum are those of independent strings, as the client has them.
    """
    factors = np.array(known.factors)[list(pub.lowered.final_layout)]
    values, errors, first = [], [], 0
    for observable in pub.observables:
        rows = slice(first, first := first + len(observable))
        acts = observable.paulis.x | observable.paulis.z
        scale = observable.coeffs.real / np.where(acts, factors, 1.0).prod(axis=1)
        values.append(scale @ table[0][rows])
        errors.append(np.sqrt(scale**2 @ table[1][rows] ** 2))
    return np.array(values), np.array(errors)
