"""Turn PUBs of an EstimatorV2 into tasks, and the tasks' values into results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, TranspileLayout

from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_circuits.plain import on_qubits, on_used_qubits, plain_circuit
from qhybrid_runtime.checks import check_finite


class LayerBindings(BindingsArray):  # type: ignore[misc]
    """Values of a layer's circuit, with what no name of a parameter tells: which are weights.

    Attributes:
        weights: The names of the parameters that are trained, the others being inputs; None where
            they are neither.
    """

    def __init__(self, data: Any, shape: tuple[int, ...], weights: frozenset[str] | None) -> None:
        super().__init__(data, shape)
        self.weights = weights


@dataclass(frozen=True)
class Task:
    """The circuit, observables and samples of one PUB.

    Attributes:
        circuit: That of the PUB, plain, and on the qubits in use alone if it was transpiled.
        observables: Each different observable of the PUB, once.
        values: Parameter values in the order of `circuit.parameters`, shape (N, n_parameters).
        weights: The names of weights, where a layer says so; else None.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    values: np.ndarray
    weights: frozenset[str] | None = None


@dataclass(frozen=True, eq=False)
class LoweredTask:
    """Samples of one lowered circuit.

    Attributes:
        lowered: The circuit in the target's gates, symbolic in the parameters that differ between
            samples.
        observables: On the circuit's logical qubits.
        inputs: Parameter values in the order of `lowered.circuit.parameters`, shape
            (N, n_parameters).
        logical: The circuit before lowering, with the same parameters, which does not depend on the
            target's calibration of the day. None where it is not known.
    """

    lowered: LoweredCircuit
    observables: tuple[SparsePauliOp, ...]
    inputs: np.ndarray
    logical: QuantumCircuit | None = None

    def measuring(self, observables: tuple[SparsePauliOp, ...]) -> Self:
        """Return the task with other observables."""
        return replace(self, observables=observables)


@dataclass(frozen=True, eq=False)
class Estimates:
    """The estimates of a task.

    Attributes:
        values: Expectation values, shape (N, n_observables).
        standard_errors: Their standard errors, same shape.
    """

    values: np.ndarray
    standard_errors: np.ndarray


class RoundExecutor(Protocol):
    """Runs the lowered circuits of one round together.

    Attributes:
        target: The target that circuits must be lowered for.
    """

    target: Target

    def run(self, tasks: Sequence[LoweredTask], precision: float) -> list[Estimates]:
        """Return the estimates of each task, aiming at a standard error of `precision`."""


#: Plain circuits of PUBs, and those on the qubits in use: the same objects at each call.
_PLAIN: Cache[QuantumCircuit] = Cache(256)
_NARROW: Cache[QuantumCircuit] = Cache(256)

#: A circuit's identity, the number of samples, and their parameter values.
_TaskKey = tuple[int, int, bytes]


class TaskTable:
    """The tasks of a job, and the places of each PUB's values in them.

    PUBs of one circuit with the same parameter values become one task, so that its states are
    computed once: a stock EstimatorQNN sends one PUB per observable.

    Attributes:
        tasks: The tasks to evaluate.
    """

    def __init__(self, pubs: Sequence[EstimatorPub]) -> None:
        """Turn PUBs into tasks.

        Raises:
            NotFiniteError: A parameter value is NaN or infinite.
            CircuitError: A circuit has an instruction that is no gate.
        """
        self._pubs = pubs
        self._tasks: dict[_TaskKey, tuple[Task, TranspileLayout | None]] = {}
        self._observables: dict[_TaskKey, dict[str, SparsePauliOp]] = {}
        self._places = [self._add(pub) for pub in pubs]
        self.tasks = []
        for key, (task, layout) in self._tasks.items():
            circuit, kept = narrowed(task.circuit, layout, self._observables[key].values())
            self.tasks.append(replace(task, circuit=circuit, observables=kept))

    def _add(self, pub: EstimatorPub) -> tuple[int, np.ndarray]:
        """Return the PUB's task, and which of the task's observables each of its values is of."""
        circuit = _PLAIN.get(Identity(pub.circuit), lambda: plain_circuit(pub.circuit))
        samples, width = pub.parameter_values.size, circuit.num_parameters
        values = pub.parameter_values.as_array(circuit.parameters).reshape(samples, width)
        check_finite("parameter_values", torch.as_tensor(values))
        # Without parameters there are no bytes, whatever the number of samples.
        key = (id(circuit), samples, values.tobytes())
        weights = getattr(pub.parameter_values, "weights", None)
        self._tasks.setdefault(key, (Task(circuit, (), values, weights), pub.circuit.layout))
        known = self._observables.setdefault(key, {})
        sparse = np.asarray(pub.observables.sparse_observables_array(), dtype=object)
        which = np.empty(sparse.shape, dtype=np.int64)
        for index in np.ndindex(sparse.shape):
            name = repr(sparse[index])
            if name not in known:
                known[name] = SparsePauliOp.from_sparse_observable(sparse[index])
            which[index] = list(known).index(name)
        return list(self._tasks).index(key), np.broadcast_to(which, pub.shape)

    def result(
        self, values: Sequence[np.ndarray], errors: Sequence[np.ndarray] | None = None
    ) -> PrimitiveResult[PubResult]:
        """Return the tasks' values (N, n_observables) in the shapes of the PUBs.

        `errors` are their standard errors; zero where omitted.
        """
        results = []
        for pub, (index, which) in zip(self._pubs, self._places, strict=True):
            samples = pub.parameter_values
            rows = np.broadcast_to(np.arange(samples.size).reshape(samples.shape), pub.shape)
            evs = values[index][rows, which]
            stds = np.zeros_like(evs) if errors is None else errors[index][rows, which]
            data = DataBin(evs=evs, stds=stds, shape=evs.shape)
            metadata = {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata}
            results.append(PubResult(data, metadata=metadata))
        return PrimitiveResult(results, metadata={"version": 2})


def narrowed(
    circuit: QuantumCircuit, layout: TranspileLayout | None, observables: Iterable[SparsePauliOp]
) -> tuple[QuantumCircuit, tuple[SparsePauliOp, ...]]:
    """Return a transpiled circuit and its observables on the qubits in use, others as they are.

    The circuit is the same object each time.
    """
    if layout is None:
        return circuit, tuple(observables)

    def narrow(circuit: QuantumCircuit, used: tuple[int, ...]) -> QuantumCircuit:
        return _NARROW.get((Identity(circuit), used), lambda: on_qubits(circuit, used))

    return on_used_qubits(circuit, tuple(observables), narrow)


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which parameters have one value in all samples, shape (n_parameters,)."""
    return np.asarray((values == values[:1]).all(axis=0))
