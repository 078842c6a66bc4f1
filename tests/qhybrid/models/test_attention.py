import math

import pytest
import torch
from torch import Tensor

from qhybrid.models.attention import LinearAttention, ScaleNorm, VertexAttention


def _layer_norm(x: Tensor, scale: Tensor) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    variance = (x - mean).square().mean(dim=1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * scale[None, :, None, None]


def _heads(attention: LinearAttention | VertexAttention, x: Tensor) -> tuple[Tensor, ...]:
    """q, k, v as (B, heads, features, N), from a 1x1 convolution of the normalized input."""
    kernel = attention.qkv.weight[:, :, None, None]
    projected = torch.nn.functional.conv2d(_layer_norm(x, attention.norm.scale), kernel)
    return tuple(p.reshape(len(x), 4, 32, -1) for p in projected.chunk(3, dim=1))


def _project(attention: LinearAttention | VertexAttention, heads: Tensor, like: Tensor) -> Tensor:
    """A 1x1 convolution of the heads' outputs, given as (B, heads, features, N)."""
    stacked = heads.reshape(len(like), 128, *like.shape[2:])
    kernel = attention.output.weight[:, :, None, None]
    return torch.nn.functional.conv2d(stacked, kernel, attention.output.bias)


def _randomized(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).double()


@pytest.mark.parametrize("channels", [10, 40])
def test_linear_attention_against_channel_first_einsum(channels: int) -> None:
    attention = LinearAttention(channels)
    _randomized(attention)
    x = torch.randn(2, channels, 5, 3, generator=torch.Generator().manual_seed(1)).double()
    q, k, v = _heads(attention, x)
    q = q.softmax(dim=2) / math.sqrt(32)
    context = torch.einsum("bhdn,bhen->bhde", k.softmax(dim=3), v / 15)
    out = _project(attention, torch.einsum("bhde,bhdn->bhen", context, q), x)
    torch.testing.assert_close(attention(x), x + _layer_norm(out, attention.output_norm.scale))


@pytest.mark.parametrize("over_positions", [False, True])
def test_vertex_attention_against_explicit_softmax(over_positions: bool) -> None:
    attention = VertexAttention(40, over_positions=over_positions)
    _randomized(attention)
    x = torch.randn(2, 40, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    q, k, v = _heads(attention, x)
    axis = 3 if over_positions else 2
    q = q / q.square().sum(dim=axis, keepdim=True).sqrt()
    k = k / k.square().sum(dim=axis, keepdim=True).sqrt()
    logits = 10 * torch.einsum("bhdi,bhdj->bhij", q, k)
    weights = logits.exp() / logits.exp().sum(dim=3, keepdim=True)
    expected = x + _project(attention, torch.einsum("bhij,bhdj->bhdi", weights, v), x)
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize(("kind", "count"), [(LinearAttention, 20_600), (VertexAttention, 20_560)])
def test_parameters_at_the_vertex_width(
    kind: type[LinearAttention | VertexAttention], count: int
) -> None:
    assert sum(p.numel() for p in kind(40).parameters()) == count


def test_norm_has_a_scale_and_no_bias() -> None:
    norm = ScaleNorm(6)
    assert [name for name, _ in norm.named_parameters()] == ["scale"]
    rows = norm(torch.arange(12.0).view(2, 6))
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(2))
