"""Evaluate one round of circuits as a differentiable function of inputs and weights."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qhybrid_circuits import RequestError
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
    function = _MappedRound if torch._C._are_functorch_transforms_active() else _Round
    return list(function.apply(backend, tuple(points), tuple(methods), *inputs, *weights))


class _MappedRound(torch.autograd.Function):
    """Values from a backend, derivatives by gradient methods."""

    @staticmethod
    def forward(
        backend: Backend,
        points: tuple[Point, ...],
        methods: tuple[GradientMethod, ...],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs, weights = tensors[: len(points)], tensors[len(points) :]
        return tuple(backend.evaluate([point.circuit for point in points], inputs, weights))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.backend, ctx.points, ctx.methods, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
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
            vjps = _products(method, points, [cotangents[index] for index in members], ctx.backend)
            found.update(zip(members, vjps, strict=True))
        by_inputs = [found[index].by_inputs if needed[index] else None for index in range(count)]
        by_weights = [found[i].by_weights if needed[count + i] else None for i in range(count)]
        return (None, None, None, *by_inputs, *by_weights)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        backend: Backend,
        points: tuple[Point, ...],
        methods: tuple[GradientMethod, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Evaluate all of a mapped axis in one round: as more samples, or as more circuits."""
        count, size, dims = len(points), info.batch_size, in_dims[3:]
        if any(dim is not None for dim in dims[count:]):
            every = list(_copies(size, dims, tensors, count))
            values = _MappedRound.apply(backend, points * size, methods * size, *every)
            return tuple(torch.stack(values[k::count]) for k in range(count)), (0,) * count
        rows = [
            rows.expand(size, *rows.shape) if dim is None else rows.movedim(dim, 0)
            for rows, dim in zip(tensors[:count], dims, strict=False)
        ]
        flat = [each.flatten(0, 1) for each in rows]
        values = _MappedRound.apply(backend, points, methods, *flat, *tensors[count:])
        return tuple(each.unflatten(0, (size, -1)) for each in values), (0,) * count


class _Round(_MappedRound):
    """The same outside of torch.func, without the time that it takes to name the arguments."""

    setup_context = torch.autograd.Function.setup_context  # not defined: `forward` does it

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _MappedRound.forward(*inputs)
        _MappedRound.setup_context(ctx, inputs, output)
        return output


def _products(
    method: GradientMethod, points: list[Point], cotangents: Sequence[Tensor], backend: Backend
) -> list[Vjp]:
    """Return what `method.vjp` does, so that torch can transform it."""
    # Gradients are on where the products are differentiated again, and always inside torch.func.
    if method.differentiable or not torch.is_grad_enabled():
        return method.vjp(points, cotangents, backend)
    at = [*(each.inputs for each in points), *(each.weights for each in points)]
    if not any(map(torch._C._functorch.is_functorch_wrapped_tensor, (*at, *cotangents))):
        raise _not_twice(method, backend)
    found = iter(_Products.apply(method, backend, tuple(points), *at, *cotangents))
    return [
        Vjp(next(found) if each.by_inputs else None, next(found) if each.by_weights else None)
        for each in points
    ]


class _Products(torch.autograd.Function):
    """Vector-Jacobian products that have no derivatives themselves."""

    @staticmethod
    def forward(
        method: GradientMethod, backend: Backend, points: tuple[Point, ...], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        count = len(points)
        own = [
            replace(point, inputs=tensors[i], weights=tensors[count + i])
            for i, point in enumerate(points)
        ]
        vjps = method.vjp(own, tensors[2 * count :], backend)
        return tuple(each for vjp in vjps for each in vjp if each is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.method, ctx.backend, *_ = inputs

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        raise _not_twice(ctx.method, ctx.backend)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        method: GradientMethod,
        backend: Backend,
        points: tuple[Point, ...],
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Evaluate all of a mapped axis as further circuits of the round."""
        every = list(_copies(info.batch_size, in_dims[3:], tensors, len(points)))
        found = _Products.apply(method, backend, points * info.batch_size, *every)
        count = len(found) // info.batch_size
        return tuple(torch.stack(found[k::count]) for k in range(count)), (0,) * count


def _copies(
    size: int, dims: Sequence[int | None], tensors: Sequence[Tensor], count: int
) -> Iterator[Tensor]:
    """Yield the tensors of `size` copies of a round's circuits, `count` tensors of each kind."""
    each = [
        [tensor] * size if dim is None else tensor.unbind(dim)
        for tensor, dim in zip(tensors, dims, strict=True)
    ]
    for first in range(0, len(each), count):
        for copy in range(size):
            yield from (tensor[copy] for tensor in each[first : first + count])


def _not_twice(method: GradientMethod, backend: Backend) -> RequestError:
    return RequestError(
        f"Gradient '{method.name}' on backend '{backend.name}' cannot be differentiated again, "
        "as create_graph=True asks for; use gradient 'adjoint', or first derivatives only"
    )
