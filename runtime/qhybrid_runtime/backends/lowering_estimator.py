from collections.abc import Iterable, Sequence
from itertools import compress

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    EstimatorPubLike,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub

from qhybrid_circuits import RequestError
from qhybrid_circuits.caching import Cache, Identity
from qhybrid_circuits.lowering.lower import lower
from qhybrid_circuits.lowering.lowered import LoweredCircuit
from qhybrid_runtime.backends.amplitude_gates import AmplitudeGates
from qhybrid_runtime.tasks import LoweredTask, RoundExecutor, Task, TaskTable, constant_columns

#: Weight vectors of one PUB that are lowered each for itself. More are left symbolic: lowering
#: takes longer than what it saves.
MOST_WEIGHT_VECTORS = 4

#: Lowered circuits that an estimator remembers.
_KEPT = 256


class LoweringEstimator(BaseEstimatorV2):  # type: ignore[misc]
    """An EstimatorV2 that lowers circuits for a target before anything runs.

    Weights are bound first: once they are numbers, a controlled rotation costs half of what it
    does as a symbol. Circuits need not be lowered by the caller, so a stock EstimatorQNN can hold
    this estimator too; PUBs of one circuit that differ only in the observable are one task.
    """

    def __init__(
        self, executor: RoundExecutor, *, precision: float, fractional: bool = False
    ) -> None:
        """Make an estimator.

        `precision` is the standard error where a PUB and `run` name none, greater than 0; rzz and
        rx of any angle are used if `fractional`, where the device has them.
        """
        self.executor, self._precision, self._fractional = executor, precision, fractional
        self._amplitudes = AmplitudeGates()
        self._lowered: Cache[tuple[QuantumCircuit, LoweredCircuit]] = Cache(_KEPT)

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Evaluate PUBs of (circuit, observables, parameter values) as one round, and wait for it.

        Args:
            pubs: Observables broadcast against parameter sets as in every EstimatorV2. Of the PUBs
                of a `CompiledCircuit`, the weights are bound and the inputs stay symbolic; of
                others those parameters are bound that several samples share, whatever their names.
            precision: The standard error where a PUB names none.

        Raises:
            RequestError: A precision is not greater than 0, or PUBs ask for different ones.
            NotFiniteError: A parameter value is NaN or infinite.
        """
        default = self._precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, default) for pub in pubs]
        wanted = {pub.precision for pub in coerced}
        if len(wanted) > 1 or any(value <= 0 for value in wanted):
            raise RequestError(
                "Argument `precision` must be one number greater than 0 for all PUBs of a job, "
                f"but is {', '.join(str(value) for value in sorted(wanted))}; a device needs "
                "1 / precision**2 shots"
            )
        # In the caller's thread, not the job's: Ctrl-C would not reach that one, and the program
        # could not end before a device has answered.
        result = self._run(coerced)
        job = PrimitiveJob(lambda: result)
        job._submit()
        return job

    def _run(self, pubs: Sequence[EstimatorPub]) -> PrimitiveResult[PubResult]:
        if not pubs:
            return PrimitiveResult([], metadata={"version": 2})
        table = TaskTable(pubs)
        parts = self._parts(table)
        lowered = [part for part, _, _ in parts]
        estimates = self.executor.run(lowered, pubs[0].precision) if lowered else []
        shapes = [(len(task.values), len(task.observables)) for task in table.tasks]
        values, errors = [np.empty(s) for s in shapes], [np.empty(s) for s in shapes]
        for (_, index, samples), estimate in zip(parts, estimates, strict=True):
            values[index][samples] = estimate.values
            errors[index][samples] = estimate.standard_errors
        return table.result(values, errors)

    def lowered_tasks(self, pubs: Iterable[EstimatorPubLike]) -> list[LoweredTask]:
        """Return what `run` would hand to the executor, without running it.

        Raises:
            NotFiniteError: A parameter value is NaN or infinite.
        """
        coerced = [EstimatorPub.coerce(pub, self._precision) for pub in pubs]
        return [part for part, _, _ in self._parts(TaskTable(coerced))]

    def _parts(self, table: TaskTable) -> list[tuple[LoweredTask, int, np.ndarray]]:
        """Return lowered tasks, each with its task's number and its samples' numbers there."""
        return [
            (part, index, samples)
            for index, task in enumerate(table.tasks)
            for part, samples in self._split(self._amplitudes.task(task))
        ]

    def _split(self, task: Task) -> list[tuple[LoweredTask, np.ndarray]]:
        """Return lowered tasks, each with which of the task's samples are its own."""
        if not len(task.values):
            return []
        bound = _columns_to_bind(task)
        rows, owner = np.unique(task.values[:, bound], axis=0, return_inverse=True)
        parts = []
        for number, row in enumerate(rows):
            samples = np.flatnonzero(owner.reshape(-1) == number)
            logical, lowered = self._lower(task, bound, row)
            # Lowering may find that a parameter has no effect.
            names = [parameter.name for parameter in task.circuit.parameters]
            columns = [names.index(parameter.name) for parameter in lowered.circuit.parameters]
            inputs = task.values[samples][:, columns]
            parts.append((LoweredTask(lowered, task.observables, inputs, logical), samples))
        return parts

    def _lower(
        self, task: Task, bound: np.ndarray, row: np.ndarray
    ) -> tuple[QuantumCircuit, LoweredCircuit]:
        circuit, measured = task.circuit, task.observables

        def lowered() -> tuple[QuantumCircuit, LoweredCircuit]:
            fixed = compress(circuit.parameters, bound)
            logical = circuit.assign_parameters(dict(zip(fixed, row.tolist(), strict=True)))
            # Qiskit names a circuit anew when it binds parameters.
            logical.name = circuit.name
            target = self.executor.target
            return logical, lower(
                logical, target, observables=measured, fractional=self._fractional
            )

        labels = tuple(sorted({label for o in measured for label in o.paulis.to_labels()}))
        key = (Identity(circuit), bound.tobytes(), row.tobytes(), labels)
        return self._lowered.get(key, lowered)


def _columns_to_bind(task: Task) -> np.ndarray:
    """Return which parameters become numbers before lowering, shape (n_parameters,)."""
    if task.weights is None:
        # One sample tells nothing about what is going to differ; its circuit stays symbolic.
        return constant_columns(task.values) & (len(task.values) > 1)
    weights = np.array([p.name in task.weights for p in task.circuit.parameters], dtype=bool)
    few = len(np.unique(task.values[:, weights], axis=0)) <= MOST_WEIGHT_VECTORS
    return weights & few
