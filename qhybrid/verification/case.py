"""What tools are asked, and the answers of qiskit.quantum_info."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid.files import user_path
from qhybrid.models.rows import MODELS
from qhybrid.report.build import circuit_names
from qhybrid.report.stored import subject_circuits
from qhybrid.report.subject import find_subject
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz_registry import ANSATZE, build_ansatz
from qhybrid_circuits.disk_cache import use_cache
from qhybrid_circuits.errors import RequestError, UnknownNameError

Quantity = Literal["values", "gradients", "readout"]

READOUT_ERROR = 0.1
"""Probability that a bit is read wrongly, for the quantity `readout`."""

_SMALL = {
    "hqconv": {"channels": 1, "layers": 1},
    "fqconv": {"channels": 1, "layers": 1},
    "basic_entangling": {"layers": 1},
    "qattention": {"qubits": 4, "layers": 1},
    "brickwork": {"qubits": 2, "layers": 1},
    "reupload": {"qubits": 4, "layers": 2},
}
"""Options with which an ansatz has its gates, but few enough for parameter shifts."""

_STEP = 1e-3
"""Step of the central differences: errors of 1e-10 for the angles of these circuits."""


@dataclass(frozen=True)
class Case:
    """A circuit with numbers for its parameters.

    Attributes:
        name: Of the ansatz or gate.
        variational: The circuit and its observables.
        point: Numbers for inputs and weights side by side, (n_inputs + n_weights,).
    """

    name: str
    variational: VariationalCircuit
    point: np.ndarray

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Inputs and weights side by side."""
        return (*self.variational.inputs, *self.variational.weights)

    @property
    def inputs(self) -> np.ndarray:
        """Numbers of the inputs, (n_inputs,)."""
        return self.point[: self.variational.num_inputs]

    @property
    def weights(self) -> np.ndarray:
        """Numbers of the weights, (n_weights,)."""
        return self.point[self.variational.num_inputs :]

    @property
    def in_circuit_order(self) -> list[float]:
        """The numbers in the order of `circuit.parameters`, which primitives take."""
        values = dict(zip(self.parameters, self.point.tolist(), strict=True))
        return [values[parameter] for parameter in self.variational.circuit.parameters]

    @property
    def bound(self) -> QuantumCircuit:
        """The circuit with numbers alone."""
        return self.variational.circuit.assign_parameters(self.in_circuit_order)

    @cached_property
    def _answers(self) -> dict[Quantity, Callable[[], np.ndarray]]:
        return {
            "values": lambda: self._values(self.point),
            "gradients": self._gradients,
            "readout": lambda: self._values(self.point, self._attenuated()),
        }

    def reference(self, quantity: Quantity) -> np.ndarray:
        """Return what is right: (n_observables,), gradients (n_observables, n_parameters).

        Gradients are central differences of fourth order; with readout errors p, which are the same
        for 0 and 1, a Pauli string on k qubits shrinks by (1 - 2p)^k.
        """
        return self._answers[quantity]()

    def _values(
        self, point: np.ndarray, observables: Sequence[SparsePauliOp] | None = None
    ) -> np.ndarray:
        circuit = self.variational.circuit
        values = dict(zip(self.parameters, point.tolist(), strict=True))
        present = {p: value for p, value in values.items() if circuit.has_parameter(p)}
        state = Statevector(circuit.assign_parameters(present))
        observed = self.variational.observables if observables is None else observables
        return np.array([state.expectation_value(each).real for each in observed])

    def _gradients(self) -> np.ndarray:
        columns = []
        for direction in _STEP * np.eye(len(self.point)):
            near, far = (
                self._values(self.point + k * direction) - self._values(self.point - k * direction)
                for k in (1, 2)
            )
            columns.append((8 * near - far) / (12 * _STEP))
        return np.stack(columns, axis=1)

    def _attenuated(self) -> list[SparsePauliOp]:
        """Return the observables with each string as much smaller as readout errors make it."""
        return [
            SparsePauliOp(
                each.paulis,
                each.coeffs * (1 - 2 * READOUT_ERROR) ** (each.paulis.x | each.paulis.z).sum(1),
            )
            for each in self.variational.observables
        ]


def find_cases(name: str) -> list[Case]:
    """Return the cases of an ansatz, a parameterized gate, a model, or a run's folder.

    A run's circuits have its trained weights, a model's random ones.

    Raises:
        UnknownNameError: It is none of these.
        RequestError: The model has no circuits, or the run cannot be used.
    """
    if name in ANSATZE or not (name in MODELS or "/" in name or user_path(name).is_dir()):
        return [find_case(name)]
    subject = find_subject(name)
    if subject.spec is None or not subject.spec.row.circuits:
        raise RequestError(f"'{name}' has no circuits to verify; see `qhybrid models` for those")
    circuits = subject_circuits(subject, use_cache(True))
    rng = np.random.default_rng(0)
    return [
        Case(
            case_name,
            use.variational,
            np.concatenate([rng.uniform(0.2, 1.0, use.variational.num_inputs), use.weights]),
        )
        for case_name, use in zip(circuit_names(circuits), circuits.uses, strict=True)
    ]


def find_case(name: str) -> Case:
    """Return the case of an ansatz, small, or of a parameterized gate of one or more qubits.

    Raises:
        UnknownNameError: It is neither.
    """
    library = get_standard_gate_name_mapping().items()
    gates = {name for name, gate in library if gate.params and gate.num_qubits} - {"delay"}
    if name not in (*ANSATZE, *gates):
        models = (model for model, row in MODELS.items() if row.circuits)
        raise UnknownNameError("circuit", name, (*ANSATZE, *sorted(gates), *models))
    variational = build_ansatz(name, **_SMALL[name]) if name in _SMALL else _gate_circuit(name)
    rng = np.random.default_rng(len(name))
    count = variational.num_inputs + variational.num_weights
    return Case(name, variational, rng.uniform(0.2, 1.0, count))


def _gate_circuit(name: str) -> VariationalCircuit:
    """Return a gate between rotations that let every one of its angles show in some observable."""
    gate = get_standard_gate_name_mapping()[name]
    qubits = range(gate.num_qubits)
    x, w = ParameterVector("x", gate.num_qubits), ParameterVector("w", len(gate.params))
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in qubits:
        circuit.h(qubit)
        circuit.ry(x[qubit], qubit)
    circuit.append(gate.base_class(*w), qubits)
    observables = _single_paulis(gate.num_qubits)
    return VariationalCircuit(name, circuit, tuple(x), tuple(w), observables)


def _single_paulis(num_qubits: int) -> tuple[SparsePauliOp, ...]:
    return tuple(
        SparsePauliOp.from_sparse_list([(pauli, [qubit], 1.0)], num_qubits)
        for qubit in range(num_qubits)
        for pauli in "XYZ"
    )
