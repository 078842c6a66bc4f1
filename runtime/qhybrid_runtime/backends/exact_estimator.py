from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qhybrid_runtime.tasks import Task, TaskTable


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
        job = PrimitiveJob(self._run, [EstimatorPub.coerce(pub, precision or 0.0) for pub in pubs])
        job._submit()
        return job

    def _run(self, pubs: Sequence[EstimatorPub]) -> PrimitiveResult[PubResult]:
        table = TaskTable(pubs)
        return table.result(self._evaluate(table.tasks))
