"""Differentiate a circuit's outputs at random points, for ranks and variances."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.gradients.adjoint import jacobian

Array = NDArray[np.float64]

#: A derivative below this share of its observable's largest possible value is zero. Rounding leaves
#: 1e-15; a derivative that is not the zero function exceeds this at random points.
DEAD_BELOW = 1e-10

#: The same in single precision, where rounding leaves 1e-6.
_DEAD_BELOW_SINGLE = 1e-5

#: A singular value below this share of the largest one is zero.
RANK_BELOW = 1e-9


class Derivatives:
    """Exact derivatives of a circuit.

    Attributes:
        variational: The circuit.
        dead_below: The bound below which a derivative is zero.
    """

    def __init__(self, variational: VariationalCircuit, dtype: torch.dtype = torch.float64) -> None:
        """Compile the circuit for derivatives in float32 or float64."""
        self.variational, self._dtype = variational, dtype
        self.dead_below = DEAD_BELOW if dtype == torch.float64 else _DEAD_BELOW_SINGLE
        self._compiled = CompiledCircuit(variational)
        self._largest = np.array([np.abs(each.coeffs).sum() for each in variational.observables])

    def random_point(self, samples: int, rng: np.random.Generator) -> Array:
        """Return inputs and weights side by side, (samples, n_inputs + n_weights), in [-pi, pi)."""
        width = self.variational.num_inputs + self.variational.num_weights
        return rng.uniform(-math.pi, math.pi, (samples, width))

    def at(self, points: Array) -> Array:
        """Return derivatives over the observables' largest values, (samples, n_outputs, n_all).

        `points` are inputs and weights side by side, shape (samples, n_inputs + n_weights).
        """
        if points.shape[1] == 0:
            return np.zeros((len(points), self.variational.num_outputs, 0))
        parameters = torch.from_numpy(points).to(self._dtype)
        compiled = self._compiled
        table = jacobian(compiled.jacobian_program, compiled.observables, parameters)
        return np.asarray(table.double().numpy() / self._largest[:, None])


def weight_rank(derivatives: Derivatives, draws: int, rng: np.random.Generator) -> int:
    """Return the number of directions in weight space that change the circuit as a function.

    This is the rank of the Jacobian of all outputs at many inputs and one vector of weights: the
    largest of a few vectors, since almost all have it.
    """
    variational = derivatives.variational
    count = variational.num_weights
    if not count:
        return 0
    # A state is described by this many real numbers, so that more outputs add no directions.
    told = min(variational.num_outputs, (2 << variational.num_qubits) - 2)
    samples = math.ceil(2 * count / told) if variational.num_inputs else 1
    found = 0
    for _ in range(draws):
        points = derivatives.random_point(samples, rng)
        points[:, variational.num_inputs :] = points[0, variational.num_inputs :]
        rows = derivatives.at(points)[:, :, variational.num_inputs :].reshape(-1, count)
        values = np.linalg.svd(rows, compute_uv=False)
        found = max(found, int((values > max(RANK_BELOW * values[0], DEAD_BELOW)).sum()))
    return found


def gradient_variance(derivatives: Array) -> float | None:
    """Return the mean variance of derivatives by weights, shape (samples, n_outputs, n_weights).

    It is the variance over samples of d output_i / d weight_j, averaged over all pairs (i, j) with
    a derivative that is not zero at every sample; None where there is no such pair.
    """
    alive = np.abs(derivatives).max(axis=0, initial=0.0) >= DEAD_BELOW
    return float(derivatives.var(axis=0)[alive].mean()) if alive.any() else None
