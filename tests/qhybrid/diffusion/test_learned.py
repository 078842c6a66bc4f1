import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor, nn

from qhybrid.diffusion.learned import LearnedProcess, prior_loss, reconstruction_loss
from qhybrid.diffusion.learned_schedule import HIGHEST, LOWEST, LearnedSchedule
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.process import EPSILON, LATENT
from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, sampling_scheduler
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError

SPEC = ScheduleSpec("learned", 1000)
SPREAD = 0.5
"""Standard deviation of the Gaussian data."""


def shuffled(generator: torch.Generator, scale: float = 1.0) -> LearnedSchedule:
    levels = LearnedSchedule().double()
    with torch.no_grad():
        for weight in levels.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=generator).double())
    return levels


class Exact(nn.Module):
    """The denoiser of independent Gaussian pixels, by the levels of a schedule that is fixed."""

    def __init__(self, levels: LearnedSchedule, spec: ScheduleSpec = SPEC) -> None:
        super().__init__()
        self.noise_levels = levels
        with torch.no_grad():
            times = torch.arange(1, spec.timesteps + 1).double() / spec.timesteps
            self.known = levels(times).clone()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        gamma = self.known[t].view(-1, 1, 1, 1).to(x.dtype)
        variance = gamma.sigmoid()
        return x * variance.sqrt() / (SPREAD**2 * (1 - variance) + variance)


def losses(model: nn.Module, process: LearnedProcess, images: Tensor, seed: int = 0) -> Tensor:
    generator, labels = torch.Generator().manual_seed(seed), torch.zeros(len(images))
    return process.loss(model, images, labels, generator, GaussianNoise())


def process(spec: ScheduleSpec = SPEC) -> LearnedProcess:
    made = EPSILON.build(spec, P2Weighting())
    assert isinstance(made, LearnedProcess)
    return made


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 100.0])
def test_rises_whatever_its_weights_are(scale: float, generator: torch.Generator) -> None:
    levels = shuffled(generator, scale).float()
    times = torch.linspace(0, 1, 1001)
    gamma = levels(times)
    assert gamma.isfinite().all()
    assert (gamma.diff() > 0).all()
    (low, below), (above, high) = LOWEST, HIGHEST
    assert low - 1e-5 <= gamma[0] <= below + 1e-5
    assert above - 1e-5 <= gamma[-1] <= high + 1e-5


def test_begins_nearly_straight() -> None:
    gamma = LearnedSchedule()(torch.linspace(0, 1, 101)).detach()
    torch.testing.assert_close(gamma, torch.linspace(-8, 7, 101), rtol=0, atol=0.5)


def test_its_gradient_against_central_differences(generator: torch.Generator) -> None:
    levels = shuffled(generator)
    times = torch.rand(20, generator=generator, dtype=torch.float64)
    weights = tuple(levels.parameters())
    names = [name for name, _ in levels.named_parameters()]

    def gamma(*values: Tensor) -> Tensor:
        return torch.func.functional_call(levels, dict(zip(names, values, strict=True)), times)

    assert torch.autograd.gradcheck(gamma, weights)


@pytest.mark.parametrize("timesteps", [2, 10, 1000, 2000])
def test_every_sampler_has_the_levels_of_the_model(
    timesteps: int, generator: torch.Generator
) -> None:
    levels = shuffled(generator, 3.0)
    expected = (-levels(torch.arange(1, timesteps + 1).double() / timesteps)).sigmoid()
    spec = ScheduleSpec.of_betas(levels.betas(timesteps))
    assert np.allclose(np.cumprod(1 - np.array(spec.betas)), expected.detach(), rtol=1e-9)
    for sampler in IMAGE_SAMPLERS:
        theirs = sampling_scheduler(sampler, spec, 2).alphas_cumprod.double()
        torch.testing.assert_close(theirs, expected.detach(), rtol=1e-3, atol=1e-5)


def test_prior_loss_against_torch(generator: torch.Generator) -> None:
    images = torch.rand(3, 1, 4, 4, generator=generator).double() * 2 - 1
    for gamma in (3.0, 7.0, 14.0):
        share = scipy.special.expit(-gamma)
        posterior = torch.distributions.Normal(math.sqrt(share) * images, math.sqrt(1 - share))
        expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1))
        found = prior_loss(images, torch.tensor(gamma, dtype=torch.float64))
        torch.testing.assert_close(found, expected.sum((1, 2, 3)), rtol=1e-9, atol=1e-12)


def test_reconstruction_loss_against_scipy(generator: torch.Generator) -> None:
    """The values next to z_0 / alpha, and all beyond the outermost ones; they add up to 1."""
    values = torch.arange(256).double() / 127.5 - 1
    for gamma in (-8.5, -6.0, -4.0):
        deviation = math.exp(gamma / 2)
        for centre in (-0.99, 0.1, 0.999):
            noise = (centre - values) / deviation
            found = reconstruction_loss(
                noise[:, None], values[:, None], torch.tensor(gamma, dtype=torch.float64)
            )
            edges = np.concatenate([[-np.inf], values[1:] - 1 / 255, [np.inf]])
            expected = np.diff(scipy.stats.norm.cdf(edges, centre, deviation))
            assert np.allclose(np.exp(-found.numpy()), expected, atol=2e-12)
            assert expected.sum() == pytest.approx(1)


def test_bound_of_gaussian_data_is_its_known_value() -> None:
    """With the exact denoiser the diffusion loss is an integral over gamma (VDM, equation 17).

    The error of the noise in a pixel of variance v is v / (v + SNR^-1) at each level.
    """
    levels, generator = LearnedSchedule().double(), torch.Generator().manual_seed(0)
    images = SPREAD * torch.randn(4000, 1, 4, 4, generator=generator, dtype=torch.float64)
    low, high = levels.limits().tolist()
    mean_square = float(images.square().mean())

    def error(gamma: float) -> float:
        ratio = SPREAD**2 * math.exp(-gamma)
        # Of the least-squares estimate: the part of the noise that the pixel hides.
        return ratio / (1 + ratio)

    diffusion = 0.5 * scipy.integrate.quad(error, low, high)[0]
    share = 1 / (1 + math.exp(high))
    prior = 0.5 * (share * mean_square - share - math.log1p(-share))
    with torch.no_grad():
        found = [float(losses(Exact(levels), process(), images, seed)) for seed in range(3)]
        noise = torch.randn(images.shape, generator=generator, dtype=torch.float64)
        inside = reconstruction_loss(noise, images, levels.limits()[0]).mean() / 16
    expected = (diffusion + prior + float(inside)) / math.log(2)
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


def test_gradients_of_ends_and_inside_against_central_differences(
    generator: torch.Generator,
) -> None:
    """The ends have the gradient of the bound, the inside that of the losses' mean square."""
    levels, images = shuffled(generator, 0.3), torch.randn(6, 1, 2, 2, generator=generator).double()
    spec = ScheduleSpec("learned", 50)
    model, made = Exact(levels, spec), process(spec)
    losses(model, made, images).backward()

    def bound() -> float:
        return float(losses(model, made, images))

    def mean_square() -> float:
        total = 0.0
        drawn = torch.Generator().manual_seed(0)
        steps = torch.randint(50, (6,), generator=drawn)
        noise = GaussianNoise().stream(drawn).normal(images.shape, images.dtype)
        before, after = levels(torch.stack([steps, steps + 1]) / 50)
        for i in range(6):
            alpha, sigma = (-after[i]).sigmoid().sqrt(), after[i].sigmoid().sqrt()
            noisy = alpha * images[i] + sigma * noise[i]
            error = (model(noisy[None], steps[i : i + 1])[0] - noise[i]).square().sum()
            each = 25 * (torch.exp(after[i] - before[i]) - 1) * error / 4 / math.log(2)
            total += float(each) ** 2 / 6
        return total

    for name, weight in levels.named_parameters():
        value = bound if name == "ends" else mean_square
        for index in range(0, len(weight), 5):
            found = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    weight[index] += step
                    found.append(value())
                    weight[index] -= step
            slope = (found[0] - found[1]) / 2e-5
            assert float(weight.grad[index]) == pytest.approx(slope, rel=1e-4, abs=1e-7), name


def test_training_lowers_the_variance_of_the_loss() -> None:
    """On Gaussian data, whose denoiser is known at every level; the bound stays as it was."""
    levels, generator = LearnedSchedule().double(), torch.Generator().manual_seed(0)
    images = SPREAD * torch.randn(256, 1, 4, 4, generator=generator, dtype=torch.float64)
    made, inside = process(), [levels.heights, levels.slopes, levels.centres]

    def spread() -> tuple[float, float]:
        with torch.no_grad():
            found = torch.stack([losses(Exact(levels), made, images[:64], s) for s in range(99)])
        return float(found.mean()), float(found.var())

    (mean, before), optimizer = spread(), torch.optim.Adam(inside, 0.05)
    for step in range(100):
        optimizer.zero_grad()
        losses(Exact(levels), made, images, step).backward()
        optimizer.step()
    after, variance = spread()
    assert variance < 0.5 * before
    assert after == pytest.approx(mean, rel=0.03)
    # The best density of levels is as the root of the mean square of the loss there.
    slope = levels(torch.linspace(0, 1, 11).double()).diff()
    assert slope[-1] > 2 * slope[0]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_samples_have_the_datas_spread(sampler: str, generator: torch.Generator) -> None:
    levels = shuffled(generator, 0.3)
    spread, spec = 0.25, ScheduleSpec("learned", 200)

    class Denoiser(Exact):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            variance = self.known[t].view(-1, 1, 1, 1).sigmoid().to(x.dtype)
            return x * variance.sqrt() / (spread**2 * (1 - variance) + variance)

    steps = 200 if sampler == "ddpm" else 50
    found = sample(
        Denoiser(levels, spec),
        shape=(200, 1, 4, 4),
        spec=spec,
        sampler=sampler,
        steps=steps,
        process=process(spec),
    ).images
    assert float(found.std()) == pytest.approx(spread, rel=0.06)


def test_what_is_refused() -> None:
    with pytest.raises(RequestError, match=r"model\.noise_levels\.betas"):
        noise_scheduler(SPEC)
    with pytest.raises(RequestError, match="must be at most 2000, but is 2001"):
        ScheduleSpec("learned", 2001)
    with pytest.raises(RequestError, match="is for models that predict the noise in images"):
        LATENT.build(SPEC, P2Weighting())
    with pytest.raises(RequestError, match="this model has none"):
        sample(nn.Identity(), shape=(1, 1, 8, 8), spec=SPEC, process=process())
