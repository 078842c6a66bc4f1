"""Variances of the reverse process, against diffusers, torch.distributions and scipy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.process import EPSILON, LATENT, STATES, Draw
from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, check_has_variance
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import VARIANCES, P2Weighting, ScheduleSpec
from qhybrid.diffusion.variance import bound, log_variances
from qhybrid_circuits.errors import RequestError, UnknownNameError

_BETAS = np.linspace(1e-3, 0.2, 12)
_SPEC = ScheduleSpec.of_betas(_BETAS.tolist())
_SCHEDULER = noise_scheduler(_SPEC)


def _numbers(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _levels(t: int) -> tuple[float, float, float, float]:
    """Return beta, alpha-bar, alpha-bar of the step before, and the posterior's variance."""
    bars = np.cumprod(1 - _BETAS)
    before = 1.0 if t == 0 else bars[t - 1]
    return _BETAS[t], bars[t], before, _BETAS[t] * (1 - before) / (1 - bars[t])


def test_learned_variances_are_those_of_diffusers(generator: torch.Generator) -> None:
    theirs = DDPMScheduler(12, trained_betas=_BETAS, variance_type="learned_range")
    v = _numbers(generator, 12, 2, 3, 3)
    ours, posterior = log_variances(v, torch.arange(12), _SCHEDULER)
    for t in range(1, 12):
        expected = theirs._get_variance(t, predicted_variance=v[t]).double()
        torch.testing.assert_close(ours[t], expected, rtol=1e-5, atol=1e-6)
        assert float(posterior[t].flatten()[0]) == pytest.approx(math.log(_levels(t)[3]), rel=1e-6)
    # The first one's posterior has no variance: Nichol and Dhariwal take the second one's.
    low, high = math.log(_levels(1)[3]), math.log(_BETAS[0])
    expected = low + (v[0] + 1) / 2 * (high - low)
    torch.testing.assert_close(ours[0], expected, rtol=1e-6, atol=1e-6)


def _independent_bound(epsilon: Tensor, v: Tensor, images: Tensor, noise: Tensor, t: int) -> Tensor:
    """From the means of Ho et al. (2020), equations 7 and 11, in bits per value of one image."""
    beta, bar, before, variance = _levels(t)
    x = math.sqrt(bar) * images + math.sqrt(1 - bar) * noise
    model = (x - beta / math.sqrt(1 - bar) * epsilon) / math.sqrt(1 - beta)
    floor = variance if t else _levels(1)[3]
    deviation = (beta ** ((v + 1) / 2) * floor ** ((1 - v) / 2)).sqrt()
    if t:
        mean = (
            math.sqrt(before) * beta / (1 - bar) * images
            + math.sqrt(1 - beta) * (1 - before) / (1 - bar) * x
        )
        true = Normal(mean, torch.full_like(mean, math.sqrt(variance)))
        return kl_divergence(true, Normal(model, deviation)).mean() / math.log(2)
    pixels, means, spread = (np.asarray(each.detach()) for each in (images, model, deviation))
    upper = np.where(pixels == 1, np.inf, pixels + 1 / 255)
    lower = np.where(pixels == -1, -np.inf, pixels - 1 / 255)
    mass = norm.cdf(upper, means, spread) - norm.cdf(lower, means, spread)
    return torch.tensor(-np.log2(mass).mean())


def _case(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return epsilon, v, images of grey levels with both ends among them, and noise."""
    images = torch.randint(256, (12, 2, 3, 3), generator=generator).double() / 127.5 - 1
    images[:, 0, 0] = torch.tensor([-1.0, 0.2 / 255, 1.0])
    noise = _numbers(generator, 12, 2, 3, 3)
    epsilon = noise + 0.3 * _numbers(generator, 12, 2, 3, 3)
    return epsilon, _numbers(generator, 12, 2, 3, 3), images, noise


def test_the_bound_is_that_of_torch_and_scipy(generator: torch.Generator) -> None:
    epsilon, v, images, noise = _case(generator)
    found = bound(epsilon, v, images, noise, torch.arange(12), _SCHEDULER)
    expected = [
        float(_independent_bound(epsilon[t], v[t], images[t], noise[t], t)) for t in range(12)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_that_of_v_alone(generator: torch.Generator) -> None:
    epsilon, v, images, noise = _case(generator)
    epsilon.requires_grad_(), v.requires_grad_()
    bound(epsilon, v, images, noise, torch.arange(12), _SCHEDULER).sum().backward()
    assert epsilon.grad is None
    for t in range(12):
        point = v[t].detach().clone().requires_grad_()
        if t:
            terms = _independent_bound(epsilon[t].detach(), point, images[t], noise[t], t)
            (expected,) = torch.autograd.grad(terms, point)
        else:
            expected = _differences(
                lambda each: _independent_bound(epsilon[0], each, images[0], noise[0], 0), v[0]
            )
        torch.testing.assert_close(v.grad[t], expected, rtol=1e-5, atol=1e-7)


def _differences(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    point, gradient = point.detach(), torch.zeros_like(point)
    for place in range(point.numel()):
        step = torch.zeros(point.numel(), dtype=point.dtype)
        step[place] = 1e-5
        ahead, behind = point + step.view_as(point), point - step.view_as(point)
        gradient.view(-1)[place] = (function(ahead) - function(behind)) / 2e-5
    return gradient


@pytest.mark.parametrize(("spread", "best"), [(0.0, -1.0), (1.0, 1.0)])
def test_the_best_variance_is_ho_and_others(
    spread: float, best: float, generator: torch.Generator
) -> None:
    """Section 3.2: the posterior's for images that are one point, beta_t for normal ones.

    With the best denoiser of such images, E[epsilon | x_t].
    """
    count, t = 20_000, 6
    _, bar, _, _ = _levels(t)
    images, noise = spread * _numbers(generator, count, 1), _numbers(generator, count, 1)
    x = math.sqrt(bar) * images + math.sqrt(1 - bar) * noise
    epsilon = math.sqrt(1 - bar) / (bar * spread**2 + 1 - bar) * x
    values = {}
    for v in (best - 0.4, best, best + 0.4):
        terms = bound(
            epsilon, torch.full_like(x, v), images, noise, torch.full((count,), t), _SCHEDULER
        )
        values[v] = float(terms.mean())
    assert min(values, key=values.__getitem__) == best


def test_the_loss_is_the_simple_one_and_a_thousandth_of_the_bound(
    generator: torch.Generator,
) -> None:
    """Equation 16; the gradient of the noise is that of the simple loss alone."""
    images = torch.randint(256, (8, 1, 4, 4), generator=generator).float() / 127.5 - 1
    weights = [torch.tensor(0.4, requires_grad=True), torch.tensor(0.2, requires_grad=True)]
    seen: list[tuple[Tensor, Tensor]] = []

    def model(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x, t))
        return torch.cat([weights[0] * x, weights[1] * x.abs()], dim=1)

    def simple(x: Tensor, t: Tensor) -> Tensor:
        return model(x, t)[:, :1]

    weighting = P2Weighting(gamma=1)
    losses = [
        denoising_loss(each, images, _SCHEDULER, weighting, torch.Generator().manual_seed(3))
        for each in (model, simple)
    ]
    x, t = seen[0]
    assert len(set(t.tolist())) > 3
    total = 0.0
    for i in range(8):
        bar = _levels(int(t[i]))[1]
        noise = (x[i].double() - math.sqrt(bar) * images[i]) / math.sqrt(1 - bar)
        predicted = (0.4 * x[i].double(), 0.2 * x[i].abs().double())
        total += float(_independent_bound(*predicted, images[i].double(), noise, int(t[i])))
    expected = losses[1].item() + 1e-3 * 12 * total / 8
    assert losses[0].item() == pytest.approx(expected, rel=1e-4)
    gradients = [torch.autograd.grad(loss, weights, allow_unused=True) for loss in losses]
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert gradients[1][1] is None or not gradients[1][1]
    assert gradients[0][1].abs() > 1e-6


class _Model(torch.nn.Module):
    """Predicts a share of x for its noise; v where it has any."""

    def __init__(self, v: float | None) -> None:
        super().__init__()
        self.v = v

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        noise = 0.9 * x
        return noise if self.v is None else torch.cat([noise, torch.full_like(x, self.v)], dim=1)


@pytest.mark.parametrize(
    ("variance", "v"), [("posterior", None), ("beta", None), ("learned", 0.3), ("posterior", 0.3)]
)
@pytest.mark.parametrize("steps", [12, 4])
def test_the_spread_of_a_step_is_as_asked_for(variance: str, v: float | None, steps: int) -> None:
    spec = ScheduleSpec.of_betas(_BETAS.tolist())
    spec = ScheduleSpec(spec.name, spec.timesteps, betas=spec.betas, variance=variance)
    process = EpsilonProcess(spec, P2Weighting())
    count = 2_000
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    draw = Draw(
        "ddpm", steps, range(count), (1, 4, 4), generators, torch.device("cpu"), GaussianNoise()
    )
    chain = process.chain(_Model(v), draw)
    x, following = next(chain).double(), next(chain).double()
    times = [round(12 * (1 - i / steps)) - 1 for i in range(steps)]
    bars = np.cumprod(1 - _BETAS)
    now, before = bars[times[0]], bars[times[1]]
    beta = 1 - now / before
    image = ((x - math.sqrt(1 - now) * 0.9 * x) / math.sqrt(now)).clamp(-1, 1)
    mean = math.sqrt(before) * beta / (1 - now) * image
    mean = mean + math.sqrt(1 - beta) * (1 - before) / (1 - now) * x
    posterior = beta * (1 - before) / (1 - now)
    expected = {
        "posterior": posterior,
        "beta": beta,
        "learned": posterior ** (0.7 / 2) * beta ** (1.3 / 2),
    }[variance]
    # 32,000 values: a standard error of 0.8 %; the three differ by 3.5 % and more.
    assert float((following - mean).var()) == pytest.approx(expected, rel=0.025)


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_other_samplers_take_the_noise_alone(sampler: str) -> None:
    spec = ScheduleSpec("cosine", 1000, variance="learned")
    drawn = [
        sample(_Model(v), shape=(2, 1, 4, 4), spec=spec, sampler=sampler, steps=4).images
        for v in (-1.0, 1.0, None)
        if v is not None or sampler != "ddpm"
    ]
    assert drawn[0].isfinite().all()
    same = [torch.equal(drawn[0], each) for each in drawn[1:]]
    assert same == ([False] if sampler == "ddpm" else [True, True])


def test_what_has_no_such_variance_is_refused_in_one_line() -> None:
    with pytest.raises(UnknownNameError, match="did you mean learned"):
        ScheduleSpec(variance="leaned")
    for info in (STATES, LATENT):
        info.check_variance("posterior")
        for variance in ("beta", "learned"):
            with pytest.raises(RequestError, match=f"variance posterior, but .* for {variance}"):
                info.check_variance(variance)
    for variance in VARIANCES:
        EPSILON.check_variance(variance)
        check_has_variance(variance, "ddpm")
    check_has_variance("learned", "ddim")
    with pytest.raises(RequestError, match="has no effect on 'ddim'; leave it out, or choose"):
        check_has_variance("beta", "ddim")
