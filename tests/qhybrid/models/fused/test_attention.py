"""Linear attention by compiled kernels, against torch's operations in double precision."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from qhybrid.models.attention import LinearAttention
from qhybrid.models.fused import when
from qhybrid.models.fused.attention import Summaries, summaries
from tests.threads import torch_threads


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(when, "FUSED_FROM", 1)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of what kernels were asked for."""
    asked: list[torch.Size] = []
    fused = LinearAttention._fused

    def counted(self: LinearAttention, x: Tensor) -> Tensor:
        asked.append(x.shape)
        return fused(self, x)

    monkeypatch.setattr(LinearAttention, "_fused", counted)
    return asked


def prepared(channels: int, generator: torch.Generator, scale: float = 1.0) -> LinearAttention:
    module = LinearAttention(channels)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


def by_operations(module: LinearAttention, x: Tensor) -> tuple[LinearAttention, Tensor, Tensor]:
    """The module, its input and its output in double precision, which kernels do not take."""
    double, at = copy.deepcopy(module).double(), x.detach().double().requires_grad_()
    return double, at, double(at)


@pytest.mark.parametrize("shape", [(3, 10, 28, 28), (2, 20, 5, 13), (1, 3, 4, 4), (5, 7, 1, 3)])
@pytest.mark.parametrize("scale", [0.3, 20.0])
def test_values_and_gradients_are_those_of_torch(
    shape: tuple[int, ...], scale: float, generator: torch.Generator, kernels: list[torch.Size]
) -> None:
    module = prepared(shape[1], generator, scale)
    x = torch.randn(shape, generator=generator).requires_grad_()
    cotangent = torch.randn(shape, generator=generator)
    value = module(x)
    assert kernels == [x.shape]
    found = torch.autograd.grad(value, [x, *module.parameters()], cotangent)
    double, at, expected = by_operations(module, x)
    assert kernels == [x.shape]
    exact = torch.autograd.grad(expected, [at, *double.parameters()], cotangent.double())
    for ours, theirs in zip((value, *found), (expected, *exact), strict=True):
        # Rounding grows with the scores, which are up to a thousand where the scale is 20.
        largest = theirs.abs().max().item()
        tolerance = (2e-6 if scale < 1 else 1e-3) * largest
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=tolerance)


def test_positions_that_fill_up_a_vector_have_no_share(generator: torch.Generator) -> None:
    """Their score of 0 would be far above those of all others."""
    tokens = torch.randn(2, 3, 16, generator=generator) + 50
    tokens[:, :, 5:] = 0
    weights = -torch.rand(8, 3, generator=generator) - 1
    found = Summaries.apply(tokens, weights, 5)
    expected = summaries(tokens.double(), weights.double(), 5)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [0, 128, 256])
def test_what_is_not_a_number_is_not_lost(row: int, generator: torch.Generator) -> None:
    module = prepared(4, generator)
    with torch.no_grad():
        module.qkv.weight[row, 2] = math.nan
    x = torch.randn(2, 4, 5, 5, generator=generator).requires_grad_()
    value = module(x)
    assert value.isnan().all()
    assert torch.autograd.grad(value.sum(), x)[0].isnan().all()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_image_is_the_same_in_any_batch_on_any_number_of_threads(
    threads: int, generator: torch.Generator
) -> None:
    module = prepared(10, generator)
    x = torch.randn(5, 10, 12, 12, generator=generator).requires_grad_()

    def evaluate(images: Tensor) -> tuple[Tensor, Tensor]:
        value = module(images)
        return value, torch.autograd.grad(value.square().sum(), images)[0]

    whole = evaluate(x)
    with torch_threads(threads):
        parts = [evaluate(x[first:last]) for first, last in ((0, 1), (1, 4), (4, 5))]
    for index in range(2):
        assert torch.equal(torch.cat([part[index] for part in parts]), whole[index])


def test_gradients_have_gradients(generator: torch.Generator) -> None:
    module = prepared(4, generator, 0.5)
    x = torch.randn(2, 4, 3, 3, generator=generator).requires_grad_()

    def second(layer: LinearAttention, at: Tensor) -> list[Tensor]:
        points = [at, *layer.parameters()]
        first = torch.autograd.grad(layer(at).square().sum(), points, create_graph=True)
        return list(torch.autograd.grad(sum(each.square().sum() for each in first), points))

    double, at, _ = by_operations(module, x)
    for ours, theirs in zip(second(module, x), second(double, at), strict=True):
        tolerance = 1e-4 * theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=tolerance)


def test_what_kernels_cannot_do_is_done_by_operations(
    generator: torch.Generator, kernels: list[torch.Size]
) -> None:
    module = prepared(4, generator)
    x = torch.randn(2, 4, 4, 4, generator=generator)
    expected = module(x)
    assert len(kernels) == 1
    mapped = torch.func.vmap(lambda one: module(one[None])[0])(x)
    torch.testing.assert_close(mapped, expected)
    _, tangent = torch.func.jvp(module, (x,), (torch.ones_like(x),))
    with torch.autograd.forward_ad.dual_level():
        dual = module(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, tangent)
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), expected)
    assert module.to("meta")(x.to("meta")).shape == x.shape
    assert len(kernels) == 1


def test_small_maps_are_left_to_operations(
    monkeypatch: pytest.MonkeyPatch, kernels: list[torch.Size], generator: torch.Generator
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(LinearAttention, "_fused", lambda *_: pytest.fail("kernels were asked"))
    assert when.FUSED_FROM == 128
    prepared(4, generator)(torch.randn(2, 4, 11, 11, generator=generator))


def test_scores_are_never_in_half_precision(
    generator: torch.Generator, kernels: list[torch.Size]
) -> None:
    module = prepared(10, generator, 0.3)
    x = torch.randn(2, 10, 12, 12, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        given = module(x.bfloat16())
    assert given.dtype == torch.bfloat16
    assert len(kernels) == 1
    expected = by_operations(module, x.bfloat16().float())[2]
    torch.testing.assert_close(given.double(), expected, rtol=2e-2, atol=2e-2)


def test_no_images_give_none(generator: torch.Generator) -> None:
    module, x = prepared(4, generator), torch.empty(0, 4, 12, 12, requires_grad=True)
    value = module(x)
    assert value.shape == x.shape
    value.sum().backward()
    assert not module.qkv.weight.grad.any()


def test_frozen_weights_have_no_gradients(generator: torch.Generator) -> None:
    module = prepared(4, generator).requires_grad_(False)
    x = torch.randn(2, 4, 12, 12, generator=generator).requires_grad_()
    cotangent = torch.randn(x.shape, generator=generator)
    (found,) = torch.autograd.grad(module(x), x, cotangent)
    _, at, expected = by_operations(module, x)
    (exact,) = torch.autograd.grad(expected, at, cotangent.double())
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5 * exact.abs().max().item())


def test_nothing_of_the_size_of_scores_is_kept(generator: torch.Generator) -> None:
    kept: list[int] = []
    module = prepared(10, generator)
    x = torch.randn(2, 10, 28, 28, generator=generator).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        module(x)
    assert max(kept) <= x.numel()
    assert math.prod(x.shape) < np.prod((2, 128, 28 * 28))
