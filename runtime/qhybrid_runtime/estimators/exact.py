from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
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

from qhybrid_circuits import RequestError


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
            precision: Must be None or 0: the values are exact.

        Raises:
            RequestError: A precision other than 0 was asked for.
        """
        coerced = [EstimatorPub.coerce(pub, precision or 0.0) for pub in pubs]
        if any(pub.precision for pub in coerced):
            raise RequestError(
                f"{type(self).__name__} is exact: precision must be 0, but is "
                f"{max(pub.precision for pub in coerced)}"
            )
        job = PrimitiveJob(self._run, coerced)
        job._submit()
        return job

    def _run(self, pubs: Sequence[EstimatorPub]) -> PrimitiveResult[PubResult]:
        tasks, places = zip(*(_task(pub) for pub in pubs), strict=True) if pubs else ((), ())
        results = []
        for pub, place, values in zip(pubs, places, self._evaluate(tasks), strict=True):
            evs = values[_sample_index(pub), place]
            data = DataBin(evs=evs, stds=np.zeros_like(evs), shape=evs.shape)
            metadata = {"target_precision": 0.0, "circuit_metadata": pub.circuit.metadata}
            results.append(PubResult(data, metadata=metadata))
        return PrimitiveResult(results, metadata={"version": 2})


def _task(pub: EstimatorPub) -> tuple[Task, np.ndarray]:
    """Return the PUB's task, and which of its observables each of the PUB's values is of."""
    different: dict[str, int] = {}
    observables: list[SparsePauliOp] = []
    sparse = np.asarray(pub.observables.sparse_observables_array(), dtype=object)
    which = np.empty(sparse.shape, dtype=np.int64)
    for index in np.ndindex(sparse.shape):
        name = repr(sparse[index])
        if name not in different:
            different[name] = len(observables)
            observables.append(SparsePauliOp.from_sparse_observable(sparse[index]))
        which[index] = different[name]
    samples, width = pub.parameter_values.size, pub.circuit.num_parameters
    values = pub.parameter_values.as_array(pub.circuit.parameters).reshape(samples, width)
    task = Task(pub.circuit, tuple(observables), values)
    return task, np.broadcast_to(which, pub.shape)


def _sample_index(pub: EstimatorPub) -> np.ndarray:
    bindings = pub.parameter_values
    return np.broadcast_to(np.arange(bindings.size).reshape(bindings.shape), pub.shape)


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which parameters have one value in all samples, shape (n_parameters,)."""
    constant: np.ndarray = (values == values[:1]).all(axis=0)
    return constant
