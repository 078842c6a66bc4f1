from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine_round import engine_values
from qhybrid_runtime.gradients.estimator_gradient import jacobian
from qhybrid_runtime.gradients.method import GradientMethod, Point, Products


@dataclass(frozen=True)
class Adjoint(GradientMethod):
    """The derivative of the ideal circuit, by the engine's adjoint sweep.

    Exact where the backend is exact. On any other backend it is a straight-through choice: values
    come from the device, derivatives from the circuit as it would be without noise. It costs the
    device nothing and has no shot noise, but it is biased: it does not know how noise flattens the
    expectation values (under depolarizing noise it is too long by the factor by which they have
    shrunk), nor the slopes that coherent errors and readout add. Its direction is good as long as
    the device is nearly right; where values are mostly noise, use `ParameterShift` or `Spsa`.
    """

    name: ClassVar[str] = "adjoint"

    def products(self, points: Sequence[Point], cotangents: Sequence[Tensor]) -> list[Products]:
        with torch.enable_grad():
            inputs = [point.inputs.detach().requires_grad_(point.by_inputs) for point in points]
            weights = [point.weights.detach().requires_grad_(point.by_weights) for point in points]
            values = engine_values([point.network for point in points], inputs, weights)
        leaves = [leaf for leaf in (*inputs, *weights) if leaf.requires_grad]
        needed = [index for index, value in enumerate(values) if value.requires_grad]
        gradients = iter(
            torch.autograd.grad(
                [values[index] for index in needed],
                leaves,
                [cotangents[index] for index in needed],
                materialize_grads=True,
            )
        )
        by_inputs = [next(gradients) if leaf.requires_grad else None for leaf in inputs]
        by_weights = [next(gradients) if leaf.requires_grad else None for leaf in weights]
        return list(zip(by_inputs, by_weights, strict=True))

    def jacobian(self, point: Point) -> np.ndarray:
        parameters = torch.cat(
            [point.inputs, point.weights.expand(len(point.inputs), -1)], dim=1
        ).detach()
        network = point.network
        table = jacobian(network.jacobian_program, network.observable_set, parameters).numpy()
        split = network.num_inputs
        table[..., :split] *= point.by_inputs
        table[..., split:] *= point.by_weights
        return table

    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        return 0
