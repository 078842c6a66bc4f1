from dataclasses import replace

import numpy as np
import torch
from qiskit import QuantumCircuit

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
        self._known: dict[int, _Gates | None] = {}
        self._circuits: dict[int, QuantumCircuit] = {}

    def task(self, task: Task) -> Task:
        """Return a task with the same expectation values.

        Raises:
            RequestError: All features of an encoding are zero in some sample.
            NotFiniteError: A feature is NaN or infinite.
            CircuitError: A symbolic encoding is not the first instruction on its qubits.
        """
        key = id(task.circuit)
        if key not in self._known:
            while len(self._known) >= _KEPT:
                oldest = next(iter(self._known))
                del self._known[oldest], self._circuits[oldest]
            prepared = with_preparation_gates(task.circuit)
            self._known[key] = _Gates(task.circuit, prepared) if prepared.encodings else None
            # The circuit is kept, so that its id cannot come to mean another one.
            self._circuits[key] = task.circuit
        gates = self._known[key]
        if gates is None:
            return task
        return replace(task, circuit=gates.prepared.circuit, values=gates.values(task.values))


class _Gates:
    """What the values of a circuit's parameters become."""

    def __init__(self, circuit: QuantumCircuit, prepared: PreparedCircuit) -> None:
        self.prepared = prepared
        columns = {parameter: index for index, parameter in enumerate(circuit.parameters)}
        angles = [angle for group in prepared.angles for angle in group]
        columns |= {angle: len(columns) + index for index, angle in enumerate(angles)}
        self._order = [columns[parameter] for parameter in prepared.circuit.parameters]
        self._tables = [
            AngleTable(encoding.params, list(circuit.parameters)) for encoding in prepared.encodings
        ]

    def values(self, values: np.ndarray) -> np.ndarray:
        """Return values (N, n_prepared) for those (N, n_parameters) of the circuit as it was."""
        parts = [values]
        for encoding, table in zip(self.prepared.encodings, self._tables, strict=True):
            features = table(torch.as_tensor(values, dtype=torch.float64)).numpy()
            parts.append(preparation_angles(features, encoding.num_qubits))
        joined: np.ndarray = np.concatenate(parts, axis=1)[:, self._order]
        return joined
