"""Functions by compiled kernels, each against torch's operations in double precision."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from qhybrid.models.fused.attention import (
    Distributed,
    Standardized,
    Summaries,
    distributed,
    standardized,
    summaries,
)
from qhybrid.models.fused.convolution import Convolution, convolution
from qhybrid.models.fused.norm import Activated, activated
from tests.threads import torch_threads


@dataclass
class Case:
    """A function, what it is to give, and the shapes of tensors of 5 images and of weights."""

    ours: Callable[..., Tensor]
    theirs: Callable[..., Tensor]
    images: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[int, ...], ...] = ()

    def tensors(self, generator: torch.Generator, batch: int = 5) -> list[Tensor]:
        shapes = [*((batch, *shape) for shape in self.images), *self.weights]
        return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def _convolution(channels: int, outputs: int, height: int, width: int) -> Case:
    weights = ((outputs, channels, 3, 3), (outputs,))
    return Case(Convolution.apply, convolution, ((channels, height, width),), weights)


def _activated(channels: int, groups: int, height: int, width: int) -> Case:
    return Case(
        lambda *at: Activated.apply(*at, groups, 1e-3),
        lambda *at: activated(*at, groups, 1e-3),
        ((channels, height, width), (channels,), (channels,)),
    )


CASES = {
    "standardized": Case(Standardized.apply, standardized, ((5, 32),)),
    "summaries": Case(
        lambda x, weights: Summaries.apply(x, weights, 30),
        lambda x, weights: summaries(x, weights, 30),
        ((5, 32),),
        ((8, 5),),
    ),
    "distributed": Case(
        lambda x, context, weights: Distributed.apply(x, weights, context, 4),
        lambda x, context, weights: distributed(x, weights, context, 4),
        ((5, 32), (8, 5)),
        ((8, 5),),
    ),
    # Rows longer, shorter and much shorter than a vector; blocks of outputs that are not full.
    "convolution-10-10-28x28": _convolution(10, 10, 28, 28),
    "convolution-3-7-14x14": _convolution(3, 7, 14, 14),
    "convolution-6-1-5x16": _convolution(6, 1, 5, 16),
    "convolution-2-12-40x3": _convolution(2, 12, 40, 3),
    "convolution-1-5-1x17": _convolution(1, 5, 1, 17),
    # Positions that fill vectors, and that do not; groups of one channel and of several.
    "activated-10-10-28x28": _activated(10, 10, 28, 28),
    "activated-6-2-14x14": _activated(6, 2, 14, 14),
    "activated-4-1-1x17": _activated(4, 1, 1, 17),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def close(found: Tensor, exact: Tensor, tolerance: float) -> None:
    atol = tolerance * max(1.0, exact.abs().max().item())
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=atol)


def doubled(at: list[Tensor]) -> list[Tensor]:
    return [each.detach().double().requires_grad_() for each in at]


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_values_and_gradients_are_those_of_torch(
    case: Case, scale: float, generator: torch.Generator
) -> None:
    at = case.tensors(generator)
    with torch.no_grad():
        at[0].mul_(scale).add_(scale)
    double, value = doubled(at), case.ours(*at)
    expected = case.theirs(*double)
    close(value, expected, 1e-5)
    cotangent = torch.randn(value.shape, generator=generator)
    found = torch.autograd.grad(value, at, cotangent)
    exact = torch.autograd.grad(expected, double, cotangent.double())
    for one, other in zip(found, exact, strict=True):
        close(one, other, 2e-5 * scale)


def test_arrays_need_not_be_contiguous(case: Case, generator: torch.Generator) -> None:
    at = [
        each.detach().permute(*range(each.ndim)[::-1]).contiguous().requires_grad_()
        for each in case.tensors(generator)
    ]
    turned = [each.permute(*range(each.ndim)[::-1]) for each in at]
    value, expected = case.ours(*turned), case.theirs(*(each.double() for each in turned))
    close(value, expected, 1e-5)
    # A cotangent that is expanded has strides of 0.
    found = torch.autograd.grad(value.sum(dim=-1).square().sum(), at)
    exact = torch.autograd.grad(expected.sum(dim=-1).square().sum(), at)
    for one, other in zip(found, exact, strict=True):
        close(one.detach(), other.double(), 5e-5)


def test_gradients_have_gradients(case: Case, generator: torch.Generator) -> None:
    at = case.tensors(generator, batch=2)

    def second(function: Callable[..., Tensor], points: list[Tensor]) -> list[Tensor]:
        value = function(*points)
        first = torch.autograd.grad(value.square().sum(), points, create_graph=True)
        return list(torch.autograd.grad(sum(each.square().sum() for each in first), points))

    for one, other in zip(second(case.ours, at), second(case.theirs, doubled(at)), strict=True):
        close(one, other, 1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_is_the_same_in_any_batch_on_any_number_of_threads(
    case: Case, threads: int, generator: torch.Generator
) -> None:
    at, count = case.tensors(generator), len(case.images)

    def evaluate(first: int, last: int) -> list[Tensor]:
        images = [each.detach()[first:last].requires_grad_() for each in at[:count]]
        value = case.ours(*images, *at[count:])
        return [value, *torch.autograd.grad(value.square().sum(), images)]

    whole = evaluate(0, 5)
    with torch_threads(threads):
        parts = [evaluate(first, last) for first, last in ((0, 1), (1, 4), (4, 5))]
    for index, together in enumerate(whole):
        assert torch.equal(torch.cat([part[index] for part in parts]), together)


def test_sums_over_images_are_the_same_on_any_number_of_threads(
    generator: torch.Generator,
) -> None:
    at, found = CASES["convolution-3-7-14x14"].tensors(generator, batch=35), []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            found.append(torch.autograd.grad(Convolution.apply(*at).square().sum(), at[1]))
    assert all(torch.equal(one[0], found[0][0]) for one in found)


def test_what_is_frozen_has_no_gradient(case: Case, generator: torch.Generator) -> None:
    at = case.tensors(generator)
    for frozen in at[1:]:
        frozen.requires_grad_(False)
    (found,) = torch.autograd.grad(case.ours(*at).square().sum(), at[:1])
    double = [at[0].detach().double().requires_grad_(), *(each.double() for each in at[1:])]
    (exact,) = torch.autograd.grad(case.theirs(*double).square().sum(), double[:1])
    close(found, exact, 5e-5)


def test_weights_learn_where_images_have_no_gradient(generator: torch.Generator) -> None:
    x, *weights = CASES["convolution-3-7-14x14"].tensors(generator)
    double = doubled(weights)
    found = torch.autograd.grad(Convolution.apply(x.detach(), *weights).square().sum(), weights)
    value = convolution(x.detach().double(), *double)
    exact = torch.autograd.grad(value.square().sum(), double)
    for one, other in zip(found, exact, strict=True):
        close(one, other, 5e-5)


def test_no_images_give_none(case: Case, generator: torch.Generator) -> None:
    at = case.tensors(generator, batch=0)
    value = case.ours(*at)
    assert value.numel() == 0
    for each, found in zip(at, torch.autograd.grad(value.sum(), at), strict=True):
        assert found.shape == each.shape
        assert not found.any()


def test_what_is_not_a_number_stays_in_its_image(case: Case, generator: torch.Generator) -> None:
    at = [each.detach() for each in case.tensors(generator)]
    at[0].view(5, -1)[2, 0] = torch.nan
    found, expected = case.ours(*at), case.theirs(*(each.double() for each in at))
    assert torch.equal(found.isnan(), expected.isnan())
    assert found[2].isnan().any()


def test_saturated_activations_have_no_slope() -> None:
    """Of SiLU, far from 0, what is left is 0 or its argument; its exponential would overflow."""
    x = torch.tensor([-1.0, 1.0]).repeat(1, 1, 4, 4).requires_grad_()
    factors = torch.full((1, 1), 1e4, requires_grad=True)
    value = Activated.apply(x, factors, torch.zeros(1, 1), 1, 0.0)
    torch.testing.assert_close(value, torch.tensor([-0.0, 1e4]).repeat(1, 1, 4, 4))
    (slope,) = torch.autograd.grad(value.sum(), factors)
    torch.testing.assert_close(slope, torch.tensor([[16.0]]))
