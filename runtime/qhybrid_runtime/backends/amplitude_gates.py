from dataclasses import replace

import numpy as np
import torch
from qiskit import QuantumCircuit

from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.encoding.state_tree import (
    PreparedCircuit,
    preparation_angles,
    with_preparation_gates,
)
from qhybrid_runtime.engine.angles import AngleTable
from qhybrid_runtime.tasks import Task

#: Circuits whose gates an estimator remembers.
_KEPT = 64


class AmplitudeGates:
    """Turns tasks with symbolic amplitude encodings into tasks of gates and their angles.

    All samples share one circuit, the same object each time, so that it is lowered once.
    """

    def __init__(self) -> None:
        self._known: Cache[_Gates | None] = Cache(_KEPT)

    def task(self, task: Task) -> Task:
        """Return a task with the same expectation values.

        Raises:
            RequestError: All features of an encoding are zero in some sample.
            NotFiniteError: A feature is NaN or infinite.
            CircuitError: A symbolic encoding is not the first instruction on its qubits.
        """
        gates = self._known.get(Identity(task.circuit), lambda: _gates_of(task.circuit))
        if gates is None:
            return task
        return replace(task, circuit=gates.prepared.circuit, values=gates.values(task.values))


def _gates_of(circuit: QuantumCircuit) -> "_Gates | None":
    prepared = with_preparation_gates(circuit)
    return _Gates(circuit, prepared) if prepared.encodings else None


class _Gates:
    """What the values of a circuit's parameters become."""

    def __init__(self, circuit: QuantumCircuit, prepared: PreparedCircuit) -> None:
        self.prepared = prepared
        own = list(circuit.parameters)
        known = [*own, *(angle for group in prepared.angles for angle in group)]
        columns = {parameter: index for index, parameter in enumerate(known)}
        self._order = [columns[parameter] for parameter in prepared.circuit.parameters]
        self._tables = [AngleTable(encoding.params, own) for encoding in prepared.encodings]

    def values(self, values: np.ndarray) -> np.ndarray:
        """Return values (N, n_prepared) for those (N, n_parameters) of the circuit as it was."""
        parts = [values]
        for encoding, table in zip(self.prepared.encodings, self._tables, strict=True):
            features = table(torch.as_tensor(values, dtype=torch.float64)).numpy()
            parts.append(preparation_angles(features, encoding.num_qubits))
        return np.asarray(np.concatenate(parts, axis=1)[:, self._order])
