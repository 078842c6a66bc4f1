"""What the tests of the engine compare it with."""

import numpy as np
import pytest
import torch
from random_circuits import exact_values

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program


def engine_values(
    variational: VariationalCircuit, inputs: np.ndarray, weights: np.ndarray
) -> torch.Tensor:
    program = compile_program(variational)
    return expectations(
        program, variational.observables, torch.as_tensor(inputs), torch.as_tensor(weights)
    )


def check_gradients(variational: VariationalCircuit, rng: np.random.Generator, step=1e-5) -> None:
    """Compare a vector-Jacobian product with central differences of qiskit's own values."""
    inputs = torch.as_tensor(rng.normal(size=(2, variational.num_inputs))).requires_grad_()
    weights = torch.as_tensor(rng.random(variational.num_weights)).requires_grad_()
    values = expectations(compile_program(variational), variational.observables, inputs, weights)
    cotangent = torch.as_tensor(rng.normal(size=values.shape))
    by_input, by_weight = torch.autograd.grad(
        values, [inputs, weights], cotangent, materialize_grads=True
    )

    def loss(x: np.ndarray, w: np.ndarray) -> float:
        return float((exact_values(variational, x, w) * cotangent.numpy()).sum())

    x, w = inputs.detach().numpy(), weights.detach().numpy()
    for gradient, which, base in ((by_input, 0, x), (by_weight, 1, w)):
        for index in np.ndindex(base.shape):
            plus, minus = [x.copy(), w.copy()], [x.copy(), w.copy()]
            plus[which][index] += step
            minus[which][index] -= step
            expected = (loss(*plus) - loss(*minus)) / (2 * step)
            assert gradient[index].item() == pytest.approx(expected, abs=2e-7)
