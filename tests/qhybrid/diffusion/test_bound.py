"""The bound against torch's distributions, and on Gaussian data, where it is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from qhybrid.diffusion.bound import VariationalBound, bits_per_dimension
from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.process import EPSILON
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model

MEAN, STD = 0.1, 0.15


def _bound(spec: ScheduleSpec) -> tuple[VariationalBound, Tensor]:
    """Return the bound and alpha-bar with a 1 in front, (T + 1,)."""
    process = EPSILON.build(spec, P2Weighting())
    assert isinstance(process, EpsilonProcess)
    levels = process.scheduler.alphas_cumprod.double()
    return VariationalBound(process), torch.cat([levels.new_ones(1), levels])


def _images(count: int, generator: torch.Generator) -> Tensor:
    """Return images whose pixels are N(MEAN, STD^2), rounded to the 256 levels."""
    drawn = MEAN + STD * torch.randn(count, 1, 8, 8, generator=generator)
    return ((drawn + 1) * 127.5).round() / 127.5 - 1


def _model(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(0.9 * x + 0.001 * t[:, None, None, None])


@pytest.mark.parametrize("t", [2, 3, 40, 100])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "ve-sde"])
def test_terms_are_the_divergences_of_torch(
    schedule: str, t: int, generator: torch.Generator
) -> None:
    bound, level = _bound(ScheduleSpec(schedule, 100))
    images, noise = _images(3, generator), torch.randn(3, 1, 8, 8, generator=generator)
    noisy = level[t].sqrt() * images + (1 - level[t]).sqrt() * noise.double()
    predicted = _model(noisy.float(), torch.full((3,), t - 1)).double()
    image = (noisy - (1 - level[t]).sqrt() * predicted) / level[t].sqrt()
    # Ho et al. 2020, equation 7.
    beta = 1 - level[t] / level[t - 1]
    spread = (1 - level[t - 1]) / (1 - level[t]) * beta

    def mean(x0: Tensor) -> Tensor:
        share = level[t - 1].sqrt() * beta / (1 - level[t])
        return share * x0 + (1 - beta).sqrt() * (1 - level[t - 1]) / (1 - level[t]) * noisy

    q = Normal(mean(images.double()), spread.sqrt())
    for found, variance in zip(
        bound.term(_model, images, t - 1, noise), (spread, beta), strict=True
    ):
        p = Normal(mean(image.clamp(-1, 1)), variance.sqrt())
        expected = kl_divergence(q, p).flatten(1).sum(1)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_prior_and_decoder_are_those_of_torch(generator: torch.Generator) -> None:
    bound, level = _bound(ScheduleSpec("linear", 100))
    images, noise = _images(3, generator), torch.randn(3, 1, 8, 8, generator=generator)
    images[0, 0, 0, :4] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    last = Normal(level[-1].sqrt() * images.double(), (1 - level[-1]).sqrt())
    expected = kl_divergence(last, Normal(torch.zeros(()).double(), 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(bound.prior(images), expected, rtol=1e-6, atol=1e-9)

    def model(x: Tensor, t: Tensor) -> Tensor:
        return noise + 0.3

    noisy = level[1].sqrt() * images + (1 - level[1]).sqrt() * noise.double()
    image = (noisy - (1 - level[1]).sqrt() * (noise + 0.3).double()) / level[1].sqrt()
    decoder = Normal(image.clamp(-1, 1), (1 - level[1]).sqrt())
    bins = images.double()
    above = torch.where(bins > 0.999, 1.0, decoder.cdf(bins + 1 / 255))
    below = torch.where(bins < -0.999, 0.0, decoder.cdf(bins - 1 / 255))
    expected = -(above - below).clamp_min(1e-12).log().flatten(1).sum(1)
    for found in bound.term(model, images, 0, noise):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def _optimal(level: Tensor) -> object:
    def model(x: Tensor, t: Tensor) -> Tensor:
        a = level[t + 1][:, None, None, None]
        noise = (1 - a).sqrt() / (a * STD**2 + 1 - a) * (x.double() - a.sqrt() * MEAN)
        return noise.float()

    return model


@pytest.mark.parametrize("schedule", ["cosine", "vp-sde", "sub-vp-sde", "ve-sde"])
def test_the_bound_of_gaussian_data_is_their_entropy(
    schedule: str, generator: torch.Generator
) -> None:
    """With the best denoiser its terms are known, and their sum tends to the entropy."""
    steps, count = 200, 12
    bound, level = _bound(ScheduleSpec(schedule, steps))
    images, model = _images(count, generator), _optimal(level)
    rows = []
    for t in range(steps):
        noise = torch.randn(images.shape, generator=generator)
        rows.append(torch.stack(list(bound.term(model, images, t, noise))))  # type: ignore[arg-type]
    terms = torch.stack(rows, 1)
    now, before = level[1:], level[:-1]
    left = STD**2 * (1 - now) / (now * STD**2 + 1 - now)
    # The divergence of equal variances is the error of the image times the difference of the SNR.
    known = (left / 2 * (before / (1 - before) - now / (1 - now)))[1:].sum() * 64
    assert terms[0, 1:].sum(0).mean().item() == pytest.approx(float(known), rel=0.08)
    entropy = math.log2(127.5) + math.log2(2 * math.pi * math.e * STD**2) / 2
    posterior, beta = (
        bits_per_dimension(each.sum(0) + bound.prior(images), 64).mean().item() for each in terms
    )
    # 768 pixels: the standard error of their mean log-likelihood is 0.037 bits.
    assert entropy - 0.15 < beta < entropy + 0.25
    # With few steps the variance of q is too small for p, most of all where the noise grows fast.
    assert entropy - 0.15 < posterior


def test_predicted_variances_are_no_part_of_the_noise(generator: torch.Generator) -> None:
    """Of a model that predicts both, the bound is that of its noise."""
    process = EPSILON.build(ScheduleSpec("linear", 10, variance="learned"), P2Weighting())
    assert isinstance(process, EpsilonProcess)
    images = torch.rand(3, 1, 4, 4, generator=generator) * 2 - 1
    noise = torch.randn(images.shape, generator=generator)
    bound = VariationalBound(process)

    def both(x: Tensor, _t: Tensor) -> Tensor:
        return torch.cat([x / 2, torch.ones_like(x)], dim=1)

    for t in (0, 4):
        found = list(bound.term(both, images, t, noise))
        alone = list(bound.term(lambda x, _t: x / 2, images, t, noise))
        assert all(map(torch.equal, found, alone))


def test_a_learned_schedule_is_the_models(generator: torch.Generator) -> None:
    spec = ModelSpec("unet", 8, dim=4, schedule="learned")
    model = build_model(spec, generator=generator)
    with torch.no_grad():
        for weight in model.noise_levels.parameters():
            weight.add_(0.5)
    process = spec.row.process.build(ScheduleSpec("learned", 10), P2Weighting())
    process.bind(model)
    assert isinstance(process, EpsilonProcess)
    betas = torch.tensor(model.noise_levels.betas(10), dtype=torch.float64)
    # The scheduler multiplies alphas in single precision.
    assert torch.allclose(VariationalBound(process).variances["beta"], betas, rtol=1e-3)
    assert not torch.allclose(process.scheduler.betas.double(), betas, rtol=1e-2)
