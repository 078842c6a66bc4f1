from collections.abc import Sequence

import numpy as np
import torch

from qhybrid_runtime.estimators.exact import ExactEstimator, Task, constant_columns
from qhybrid_runtime.statevector.engine import expectations
from qhybrid_runtime.statevector.observables import ObservableSet
from qhybrid_runtime.statevector.program import compile_program


class StatevectorEngineEstimator(ExactEstimator):
    """Exact expectation values from the engine, in double precision."""

    def _evaluate(self, tasks: Sequence[Task]) -> list[np.ndarray]:
        # A primitive's job runs in a thread of its own, where gradients are on by default.
        with torch.no_grad():
            return [_values(task) for task in tasks]


def _values(task: Task) -> np.ndarray:
    # Parameters that all samples share play the part of weights: their gates are built once.
    shared = constant_columns(task.values)
    parameters = np.array(list(task.circuit.parameters), dtype=object)
    program = compile_program(task.circuit, parameters[~shared], parameters[shared])
    samples = torch.as_tensor(task.values[:, ~shared])
    if not len(samples):
        return np.empty((0, len(task.observables)))
    weights = torch.as_tensor(task.values[0, shared])
    observables = ObservableSet(task.observables, program.num_qubits)
    values: np.ndarray = expectations(program, observables, samples, weights).numpy()
    return values
