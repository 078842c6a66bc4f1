import copy

import pytest
import torch
from torch.nn import functional as F

from qhybrid.models.resnet_block import ResNetBlock, group_norm


@pytest.mark.parametrize(("channels", "groups"), [(10, 10), (40, 10), (8, 8), (32, 8), (22, 2)])
def test_groups_divide_the_channels(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_against_the_formula() -> None:
    torch.manual_seed(0)
    block = ResNetBlock(20, 10, 40).double()
    x, time = torch.randn(2, 20, 4, 4).double(), torch.randn(2, 40).double()

    def norm(h: torch.Tensor) -> torch.Tensor:
        """Ten groups of ten channels: each channel of each image by itself."""
        mean, std = h.mean(dim=(2, 3), keepdim=True), h.var(dim=(2, 3), correction=0, keepdim=True)
        return (h - mean) / torch.sqrt(std + 1e-5)

    embedded = F.silu(time) @ block.time.weight.T + block.time.bias
    scale, shift = embedded[:, :10, None, None], embedded[:, 10:, None, None]
    hidden = F.silu(norm(block.first(x)) * (1 + scale) + shift)
    expected = F.silu(norm(block.second(hidden))) + block.shortcut(x)
    torch.testing.assert_close(block(x, time), expected)
    assert sum(p.numel() for p in block.parameters()) == 3790


@pytest.mark.parametrize("size", [4, 14])
def test_a_block_in_single_precision_is_that_in_double(
    size: int, generator: torch.Generator
) -> None:
    """By kernels where maps are large."""
    block = ResNetBlock(20, 10, 40)
    x = torch.randn(2, 20, size, size, generator=generator).requires_grad_()
    time = torch.randn(2, 40, generator=generator).requires_grad_()
    with torch.no_grad():
        for norm in (block.first_norm, block.second_norm):
            norm.weight.uniform_(0.5, 2, generator=generator)
            norm.bias.uniform_(-1, 1, generator=generator)
    double = copy.deepcopy(block).double()
    at = [each.detach().double().requires_grad_() for each in (x, time)]
    value, exact = block(x, time), double(*at)
    torch.testing.assert_close(value.double(), exact, rtol=0, atol=1e-5)
    found = torch.autograd.grad(value.square().sum(), [x, time, *block.parameters()])
    theirs = torch.autograd.grad(exact.square().sum(), [*at, *double.parameters()])
    for one, other in zip(found, theirs, strict=True):
        atol = 1e-5 * max(1.0, other.abs().max().item())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=atol)


def test_same_width_needs_no_shortcut() -> None:
    block = ResNetBlock(10, 10, 40)
    assert not list(block.shortcut.parameters())
