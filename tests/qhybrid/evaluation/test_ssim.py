import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from qhybrid.evaluation.ssim import mean_ssim
from qhybrid_circuits.errors import NotFiniteError, RequestError, ShapeError, UnknownNameError


def by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004 on two channels (H, W) in [0, 1], with scipy's Gaussian filter."""

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, radius=5, mode="mirror")

    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2
    cov = mean(x * y) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    return float((luminance * (2 * cov + c2) / (var_x + var_y + c2)).mean())


def images(count: int, channels: int, size: int, generator: torch.Generator) -> torch.Tensor:
    return 2 * torch.rand(count, channels, size, size, generator=generator) - 1


@pytest.mark.parametrize("size", [6, 8, 16, 28])
@pytest.mark.parametrize("channels", [1, 3])
def test_against_scipy(size: int, channels: int, generator: torch.Generator) -> None:
    """The mean over pairs and channels of the definition, also below the window's 11 pixels."""
    real = images(3, channels, size, generator)
    drawn = (real + 0.2 * images(3, channels, size, generator)).clamp(-1, 1)
    x, y = ((each.numpy().astype(float) + 1) / 2 for each in (drawn, real))
    table = [[np.mean([by_scipy(*c) for c in zip(a, b, strict=True)]) for b in y] for a in x]
    assert mean_ssim(drawn, real, pairing="in-order") == pytest.approx(np.trace(table) / 3)
    assert mean_ssim(drawn, real) == pytest.approx(np.mean(table))
    assert mean_ssim(drawn[:2], real) == pytest.approx(np.mean(table[:2]))


def test_known_values(generator: torch.Generator) -> None:
    real = images(4, 1, 8, generator)
    assert mean_ssim(real, real, pairing="in-order") == pytest.approx(1)
    black, white = -torch.ones(2, 1, 8, 8), torch.ones(3, 1, 8, 8)
    assert mean_ssim(black, black) == pytest.approx(1)
    assert mean_ssim(black, white) == pytest.approx(1e-4 / (1 + 1e-4))


def test_order_matters_to_one_pairing_alone(generator: torch.Generator) -> None:
    real = images(4, 1, 8, generator)
    drawn = (real + 0.1).clamp(-1, 1)
    turned = drawn.roll(1, dims=0)
    assert mean_ssim(turned, real) == pytest.approx(mean_ssim(drawn, real))
    kept, lost = (mean_ssim(each, real, pairing="in-order") for each in (drawn, turned))
    assert kept > lost + 0.5


def test_more_images_than_a_batch(generator: torch.Generator) -> None:
    """5,000 pairs, of which the last 904 come in a batch of their own."""
    one = images(1, 1, 6, generator)
    many = one.repeat(5000, 1, 1, 1)
    many[-1] = -one[0]
    alone = mean_ssim(one, -one)
    assert mean_ssim(one, many) == pytest.approx((4999 + alone) / 5000, rel=1e-9)


@pytest.mark.parametrize(
    ("generated", "real", "pairing", "error", "said"),
    [
        ((2, 1, 5, 5), (2, 1, 5, 5), "all", ShapeError, "at least 6 pixels.* 5, 5"),
        ((2, 8, 8), (2, 8, 8), "all", ShapeError, r"\(N, C, H, W\)"),
        ((0, 1, 8, 8), (2, 1, 8, 8), "all", ShapeError, "`generated` .* N at least 1"),
        ((2, 1, 8, 8), (2, 3, 8, 8), "all", ShapeError, r"\(1, 8, 8\) and \(3, 8, 8\)"),
        ((2, 1, 8, 8), (3, 1, 8, 8), "in-order", ShapeError, "2 are generated and 3 real"),
        ((2, 1, 8, 8), (2, 1, 8, 8), "inorder", UnknownNameError, "did you mean in-order"),
    ],
)
def test_bad_shapes_are_refused(generated, real, pairing, error, said: str) -> None:
    with pytest.raises(error, match=said):
        mean_ssim(torch.zeros(generated), torch.zeros(real), pairing=pairing)


def test_bad_pixels_are_refused() -> None:
    good = torch.zeros(2, 1, 8, 8)
    with pytest.raises(RequestError, match=r"`real` must lie in \[-1, 1\], .* from 0 to 255"):
        mean_ssim(good, torch.stack([good[0], good[1] + 255]))
    with pytest.raises(NotFiniteError, match="`generated`"):
        mean_ssim(good / 0, good)
