from collections.abc import Sequence

import numpy as np
import torch

from qhybrid_runtime.backends.exact_estimator import ExactEstimator
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program_cache import ProgramCache
from qhybrid_runtime.tasks import Task, constant_columns


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
        values: np.ndarray = expectations(
            program,
            observables,
            torch.as_tensor(task.values[:, ~shared]),
            torch.as_tensor(task.values[0, shared]),
        ).numpy()
        return values
