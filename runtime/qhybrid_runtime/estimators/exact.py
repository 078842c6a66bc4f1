from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from qhybrid_runtime.checks import check_finite


@dataclass(frozen=True)
class Task:
    """All expectation values of one PUB, before they are put into its shape.

    Attributes:
        circuit: As in the PUB.
        observables: Each different observable of the PUB, once.
        values: Parameter values in the order of `circuit.parameters`, shape (N, n_parameters).
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    values: np.ndarray


class ExactEstimator(BaseEstimatorV2):  # type: ignore[misc]
    """An EstimatorV2 without sampling noise; subclasses evaluate whole tasks.

    A simulation yields every observable of a state at once, so a PUB whose observables broadcast
    against its parameter sets costs no more than one observable does.
    """

    @abstractmethod
    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        """Return the expectation values (N, n_observables) of each task."""

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Evaluate PUBs of (circuit, observables, parameter values), together.

        Args:
            pubs: Observables broadcast against parameter sets as in every EstimatorV2.
            precision: The standard error that is enough. It changes nothing: the values are exact,
                as a stock EstimatorQNN, which asks for 1/64 by default, gets to see.

        Raises:
            NotFiniteError: A parameter value is NaN or infinite.
        """
        coerced = [EstimatorPub.coerce(pub, precision or 0.0) for pub in pubs]
        job = PrimitiveJob(self._run, coerced)
        job._submit()
        return job

    def _run(self, pubs: Sequence[EstimatorPub]) -> PrimitiveResult[PubResult]:
        tasks = _Tasks()
        places = [tasks.add(pub) for pub in pubs]
        values = self._evaluate(tasks.built())
        results = []
        for pub, (index, which) in zip(pubs, places, strict=True):
            evs = values[index][_sample_index(pub), which]
            data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
            metadata = {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata}
            results.append(PubResult(data, metadata=metadata))
        return PrimitiveResult(results, metadata={"version": 2})


#: A circuit's identity, the number of samples, and their parameter values.
_TaskKey = tuple[int, int, bytes]


class _Tasks:
    """Tasks from PUBs: those of one circuit with the same parameter values become one.

    A stock EstimatorQNN sends one PUB an observable; the states behind them are the same.
    """

    def __init__(self) -> None:
        self._tasks: dict[_TaskKey, tuple[QuantumCircuit, np.ndarray]] = {}
        self._observables: dict[_TaskKey, dict[str, SparsePauliOp]] = {}

    def add(self, pub: EstimatorPub) -> tuple[int, np.ndarray]:
        """Return the PUB's task, and which of the task's observables each of its values is of."""
        samples, width = pub.parameter_values.size, pub.circuit.num_parameters
        values = pub.parameter_values.as_array(pub.circuit.parameters).reshape(samples, width)
        check_finite("parameter_values", torch.as_tensor(values))
        # Without parameters there are no bytes, whatever the number of samples.
        key = (id(pub.circuit), samples, values.tobytes())
        self._tasks.setdefault(key, (pub.circuit, values))
        known = self._observables.setdefault(key, {})
        sparse = np.asarray(pub.observables.sparse_observables_array(), dtype=object)
        which = np.empty(sparse.shape, dtype=np.int64)
        for index in np.ndindex(sparse.shape):
            name = repr(sparse[index])
            if name not in known:
                known[name] = SparsePauliOp.from_sparse_observable(sparse[index])
            which[index] = list(known).index(name)
        return list(self._tasks).index(key), np.broadcast_to(which, pub.shape)

    def built(self) -> list[Task]:
        return [
            Task(circuit, tuple(self._observables[key].values()), values)
            for key, (circuit, values) in self._tasks.items()
        ]


def _sample_index(pub: EstimatorPub) -> np.ndarray:
    bindings = pub.parameter_values
    return np.broadcast_to(np.arange(bindings.size).reshape(bindings.shape), pub.shape)


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which parameters have one value in all samples, shape (n_parameters,)."""
    constant: np.ndarray = (values == values[:1]).all(axis=0)
    return constant
