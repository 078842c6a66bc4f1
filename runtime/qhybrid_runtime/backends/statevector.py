from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.exact_estimator import ExactEstimator
from qhybrid_runtime.backends.info import EXACT_GRADIENTS
from qhybrid_runtime.compiled import CompiledCircuit, Tensors, stacks
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.observables import ObservableSet
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
    values: list[Tensor] = [torch.empty(0)] * len(circuits)
    for members, circuit, rows, vectors in stacks(circuits, inputs, weights):
        found = expectations(circuit.program, circuit.observables, rows, vectors)
        for index, each in zip(members, found.unbind(0), strict=True):
            values[index] = each
    return values


class StatevectorEngineEstimator(ExactEstimator):
    """Exact expectation values from the engine, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self._programs = ProgramCache()

    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        # A primitive's job runs in a thread of its own, where gradients are on by default.
        with torch.no_grad():
            return [self._values(task) for task in tasks]

    def _values(self, task: Task) -> np.ndarray:
        if not len(task.values):
            return np.empty((0, len(task.observables)))
        # Parameters that all samples share play the part of weights: their gates are built once.
        shared = constant_columns(task.values)
        inputs = [p for p, same in zip(task.circuit.parameters, shared, strict=True) if not same]
        program = self._programs.get(task.circuit, inputs)
        observables = ObservableSet(task.observables, program.num_qubits)
        rows, vector = torch.as_tensor(task.values[:, ~shared]), task.values[0, shared]
        found = expectations(program, observables, rows, torch.as_tensor(vector))
        return np.asarray(found)
