import copy

import numpy as np
import pytest
import torch
from torch import nn

from qhybrid.models.convolution import Conv1x1, Conv3x3, WeightStandardizedConv3x3
from qhybrid.models.fused.convolution import Convolution


@pytest.mark.parametrize(
    ("dtype", "eps", "tolerance"), [(torch.float64, 1e-5, 1e-10), (torch.bfloat16, 1e-3, 0.05)]
)
def test_against_explicit_formula(dtype: torch.dtype, eps: float, tolerance: float) -> None:
    torch.manual_seed(1)
    conv = WeightStandardizedConv3x3(5, 7).to(dtype)
    # Small weights make the variance comparable with eps, so that a wrong eps is seen.
    with torch.no_grad():
        conv.weight.mul_(0.1)
    x = torch.randn(2, 5, 4, 4).to(dtype)

    weight = conv.weight.detach().double().numpy()
    bias = conv.bias.detach().double().numpy()  # type: ignore[union-attr]
    flat = weight.reshape(7, -1)
    scale = np.sqrt(flat.var(axis=1) + eps)
    standard = ((flat - flat.mean(axis=1, keepdims=True)) / scale[:, None]).reshape(weight.shape)
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("bihwkl,oikl->bohw", windows, standard) + bias[None, :, None, None]

    error = np.abs(conv(x).detach().double().numpy() - expected).max()
    assert error < tolerance * np.abs(expected).max()


def test_shift_of_the_weights_has_no_effect() -> None:
    conv = WeightStandardizedConv3x3(3, 4).double()
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    before = conv(x)
    with torch.no_grad():
        conv.weight.add_(3.0)
    torch.testing.assert_close(conv(x), before)


def test_keeps_full_precision_statistics_under_autocast() -> None:
    conv = WeightStandardizedConv3x3(3, 4)
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = conv(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), conv(x), atol=0.1, rtol=0.05)


@pytest.mark.parametrize("size", [2, 28])
@pytest.mark.parametrize("kind", [Conv1x1, Conv3x3])
def test_a_convolution_is_torchs(
    kind: type[Conv1x1 | Conv3x3], size: int, generator: torch.Generator
) -> None:
    conv, x = kind(4, 7), torch.randn(3, 4, size, size, generator=generator)
    exact = copy.deepcopy(conv).double()
    expected = nn.Conv2d.forward(exact, x.double())
    torch.testing.assert_close(conv(x).double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(exact(x.double()), expected)
    assert conv.to("meta")(x.to("meta")).shape == expected.shape


def test_large_maps_are_convolved_by_kernels(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.Size] = []
    apply = Convolution.apply
    monkeypatch.setattr(
        Convolution, "apply", lambda x, *rest: asked.append(x.shape) or apply(x, *rest)
    )
    conv, large = WeightStandardizedConv3x3(3, 4), torch.randn(2, 3, 12, 12, generator=generator)
    conv(torch.randn(2, 3, 11, 11, generator=generator))
    with torch.autocast("cpu", torch.bfloat16):
        conv(large)
    torch.func.vmap(lambda one: conv(one[None])[0])(large)
    torch.func.jvp(conv, (large,), (large,))
    torch.export.export(conv, (large,))
    conv.double()(large.double())
    assert not asked
    conv.float()(large)
    assert asked == [large.shape]
