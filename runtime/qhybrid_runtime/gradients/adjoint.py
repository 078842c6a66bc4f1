from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.statevector import exact_values
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.gradients.method import GradientMethod, Point, Vjp


@dataclass(frozen=True)
class Adjoint(GradientMethod):
    """The derivative of a differentiable backend's values; elsewhere, of the ideal circuit.

    On the exact engine this is the adjoint sweep, and exact. On noise-aware training's backend it
    is the derivative of the same random trajectories as the values. On any other backend it is a
    straight-through choice: values come from there, derivatives from the circuit as it would be
    without device noise. That costs a QPU nothing and has no shot noise, but it is biased: it
    ignores that device noise flattens the expectation values (under depolarizing noise the gradient
    is too long by the factor by which they have shrunk), and the slopes that coherent errors and
    readout add. Its direction is good as long as the QPU is nearly right; where values are mostly
    noise, use `ParameterShift` or `Spsa`.

    Example:
        >>> import torch
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import Adjoint, get_backend, quantum_layer
        >>> circuit = build_ansatz("hqconv", channels=1, layers=1)
        >>> layer = quantum_layer(circuit, get_backend("statevector"), Adjoint())
        >>> layer(torch.zeros(5, 4)).sum().backward()
        >>> layer.weight.grad.shape
        torch.Size([8])
    """

    name: ClassVar[str] = "adjoint"
    differentiable: ClassVar[bool] = True

    def vjp(
        self, points: Sequence[Point], cotangents: Sequence[Tensor], backend: Backend
    ) -> list[Vjp]:
        evaluate = backend.evaluate if backend.differentiable else exact_values
        if torch.is_grad_enabled():
            return _differentiable_vjp(evaluate, points, cotangents)
        with torch.enable_grad():
            inputs = [point.inputs.detach().requires_grad_(point.by_inputs) for point in points]
            weights = [point.weights.detach().requires_grad_(point.by_weights) for point in points]
            values = evaluate([point.circuit for point in points], inputs, weights)
        leaves = [leaf for leaf in (*inputs, *weights) if leaf.requires_grad]
        needed = [index for index, value in enumerate(values) if value.requires_grad]
        outputs, along = [values[i] for i in needed], [cotangents[i] for i in needed]
        gradients = iter(torch.autograd.grad(outputs, leaves, along, materialize_grads=True))
        by_inputs = [next(gradients) if leaf.requires_grad else None for leaf in inputs]
        by_weights = [next(gradients) if leaf.requires_grad else None for leaf in weights]
        return list(map(Vjp, by_inputs, by_weights))

    def jacobian(self, point: Point, backend: Backend) -> np.ndarray:
        samples, split = len(point.inputs), point.inputs.shape[1]
        weights = point.weights.expand(samples, -1)
        if backend.differentiable and not backend.exact:
            table = _jacobian_of(backend, point, weights)
        else:
            parameters = torch.cat([point.inputs, weights], dim=1)
            program, observables = point.circuit.jacobian_program, point.circuit.observables
            table = jacobian(program, observables, parameters)
        array = np.asarray(table)
        array[..., :split] *= point.by_inputs
        array[..., split:] *= point.by_weights
        return array

    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        return 0


def _differentiable_vjp(
    evaluate: Callable[..., list[Tensor]], points: Sequence[Point], cotangents: Sequence[Tensor]
) -> list[Vjp]:
    """Return the products as functions of all that they depend on, for higher derivatives."""
    count, circuits = len(points), [point.circuit for point in points]

    def values(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(evaluate(circuits, tensors[:count], tensors[count:]))

    at = [*(point.inputs for point in points), *(point.weights for point in points)]
    found = torch.func.vjp(values, *at)[1](tuple(cotangents))
    return [
        Vjp(by_inputs if point.by_inputs else None, by_weights if point.by_weights else None)
        for point, by_inputs, by_weights in zip(points, found[:count], found[count:], strict=True)
    ]


def jacobian(program: Program, observables: ObservableSet, parameters: Tensor) -> Tensor:
    """Return each sample's derivatives (N, n_obs, n_parameters) at parameters (N, n_parameters).

    It takes one adjoint sweep of the batch per observable. The program must be compiled with all
    of its parameters as inputs, so that every sample has values, and derivatives, of its own.
    """
    with torch.enable_grad():
        leaf = parameters.detach().requires_grad_()
        values = expectations(program, observables, leaf, parameters.new_empty(0))
    return _derivatives(values, [leaf])


def _jacobian_of(backend: Backend, point: Point, weights: Tensor) -> Tensor:
    """Return the derivatives (B, n_outputs, n_parameters) of the values that a backend draws."""
    with torch.enable_grad():
        rows = point.inputs.detach().requires_grad_()
        own = weights.detach().clone().requires_grad_()
        # Each sample is a circuit of the round with weights of its own.
        circuits = [point.circuit] * len(rows)
        values = torch.cat(backend.evaluate(circuits, torch.split(rows, 1), own.unbind()))
    return _derivatives(values, [rows, own])


def _derivatives(values: Tensor, leaves: Sequence[Tensor]) -> Tensor:
    """Return derivatives (N, n_obs, n) of values (N, n_obs) in all columns of the leaves (N, _)."""
    rows = [
        torch.cat(torch.autograd.grad(column.sum(), leaves, retain_graph=True), dim=1)
        for column in values.unbind(1)
    ]
    return torch.stack(rows, dim=1)
