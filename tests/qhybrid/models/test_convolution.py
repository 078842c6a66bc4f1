import numpy as np
import pytest
import torch

from qhybrid.models.convolution import WeightStandardizedConv2d, standardized_conv3x3


@pytest.mark.parametrize(
    ("dtype", "eps", "tolerance"), [(torch.float64, 1e-5, 1e-10), (torch.bfloat16, 1e-3, 0.05)]
)
def test_against_explicit_formula(dtype: torch.dtype, eps: float, tolerance: float) -> None:
    torch.manual_seed(1)
    conv = standardized_conv3x3(5, 7).to(dtype)
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
    conv = WeightStandardizedConv2d(3, 4, 3, padding=1).double()
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    before = conv(x)
    with torch.no_grad():
        conv.weight.add_(3.0)
    torch.testing.assert_close(conv(x), before)


def test_keeps_full_precision_statistics_under_autocast() -> None:
    conv = standardized_conv3x3(3, 4)
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = conv(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), conv(x), atol=0.1, rtol=0.05)
