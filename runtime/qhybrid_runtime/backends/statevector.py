from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.exact_estimator import ExactEstimator
from qhybrid_runtime.backends.info import EXACT_GRADIENTS
from qhybrid_runtime.compiled import CompiledCircuit, Tensors, stacks
from qhybrid_runtime.engine.expectations import Batch, round_expectations
from qhybrid_runtime.engine.observables import ObservableSets
from qhybrid_runtime.engine.program_cache import ProgramCache
from qhybrid_runtime.tasks import Task, constant_columns


class StatevectorBackend(Backend):
    """The exact engine: values and gradients on the tensors' own device, in their own dtype."""

    name = "statevector"
    exact = True
    gradients = EXACT_GRADIENTS
    differentiable = True

    def __init__(self) -> None:
        self._estimator = StatevectorEngineEstimator()

    def estimator(self) -> "StatevectorEngineEstimator":
        """Return the engine as a primitive, for use in any EstimatorQNN."""
        return self._estimator

    def evaluate(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> list[Tensor]:
        """Evaluate one round, circuits of one structure as one batched call."""
        return exact_values(circuits, inputs, weights)


def exact_values(
    circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
) -> list[Tensor]:
    """Return the exact expectation values of a round's circuits, differentiable.

    The arguments and the result are those of `Backend.evaluate`.
    """
    return by_structure(circuits, inputs, weights, _exact_batch)


def _exact_batch(circuit: CompiledCircuit, inputs: Tensor, weights: Tensor) -> Batch:
    return Batch(circuit.program, circuit.observables, inputs, weights)


def by_structure(
    circuits: Sequence[CompiledCircuit],
    inputs: Tensors,
    weights: Tensors,
    batch_of: Callable[[CompiledCircuit, Tensor, Tensor], Batch],
) -> list[Tensor]:
    """Evaluate a round, circuits of one structure as one batch, and all batches at once.

    `batch_of` is given the first circuit of each structure, inputs (G, B, n_inputs) and weights
    (G, n_weights) of all G.
    """
    groups = list(stacks(circuits, inputs, weights))
    found = round_expectations([batch_of(first, x, w) for _, first, x, w in groups])
    values: list[Tensor] = [torch.empty(0)] * len(circuits)
    for (members, *_), stacked in zip(groups, found, strict=True):
        for index, each in zip(members, stacked.unbind(0), strict=True):
            values[index] = each
    return values


class StatevectorEngineEstimator(ExactEstimator):
    """Exact expectation values from the engine, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self._programs, self._observed = ProgramCache(), ObservableSets()

    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        values = [np.empty((len(task.values), len(task.observables))) for task in tasks]
        filled = [index for index, task in enumerate(tasks) if len(task.values)]
        # A primitive's job runs in a thread of its own, where gradients are on by default.
        with torch.no_grad():
            found = round_expectations([self._batch(tasks[index]) for index in filled])
        for index, each in zip(filled, found, strict=True):
            values[index] = np.asarray(each)
        return values

    def _batch(self, task: Task) -> Batch:
        # Parameters that all samples share play the part of weights: their gates are built once.
        shared = constant_columns(task.values)
        inputs = [p for p, same in zip(task.circuit.parameters, shared, strict=True) if not same]
        program = self._programs.get(task.circuit, inputs)
        observables = self._observed.get(task.observables, program.num_qubits)
        rows, vector = torch.as_tensor(task.values[:, ~shared]), task.values[0, shared]
        return Batch(program, observables, rows, torch.as_tensor(vector))
