"""Evaluate one round of circuits as a differentiable function of inputs and weights."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.method import GradientMethod, Point, Vjp


def evaluate_round(
    backend: Backend, points: Sequence[Point], methods: Sequence[GradientMethod]
) -> list[Tensor]:
    """Return the expectation values (B, n_outputs) of circuits that do not wait for each other.

    Each circuit has a point, its inputs and weights, and a method for its derivatives.
    """
    inputs, weights = [point.inputs for point in points], [point.weights for point in points]
    if backend.differentiable and all(isinstance(method, Adjoint) for method in methods):
        # The adjoint sweep takes over the states of the forward pass.
        return backend.evaluate([point.circuit for point in points], inputs, weights)
    return list(_Round.apply(backend, points, methods, *inputs, *weights))


class _Round(torch.autograd.Function):
    """Values from a backend, derivatives by gradient methods."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: Backend,
        points: Sequence[Point],
        methods: Sequence[GradientMethod],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.backend, ctx.points, ctx.methods = backend, points, methods
        ctx.save_for_backward(*tensors)
        inputs, weights = tensors[: len(points)], tensors[len(points) :]
        return tuple(backend.evaluate([point.circuit for point in points], inputs, weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.points)
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[3:]
        alike: dict[GradientMethod, list[int]] = defaultdict(list)
        for index, method in enumerate(ctx.methods):
            if needed[index] or needed[count + index]:
                alike[method].append(index)
        found: dict[int, Vjp] = {}
        for method, members in alike.items():
            points = []
            for i in members:
                wanted = {"by_inputs": needed[i], "by_weights": needed[count + i]}
                inputs, weights = tensors[i], tensors[count + i]
                points.append(replace(ctx.points[i], inputs=inputs, weights=weights, **wanted))
            vjps = method.vjp(points, [cotangents[index] for index in members], ctx.backend)
            found.update(zip(members, vjps, strict=True))
        by_inputs = [found[index].by_inputs if needed[index] else None for index in range(count)]
        by_weights = [found[i].by_weights if needed[count + i] else None for i in range(count)]
        return (None, None, None, *by_inputs, *by_weights)
