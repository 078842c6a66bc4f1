"""The loss in continuous time against score matching as Song et al. (2021) write it."""

import math

import pytest
import torch
from torch import Tensor

from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.process import EPSILON
from qhybrid.diffusion.score import ScoreProcess
from qhybrid.diffusion.sde import SDES, sde_of
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec

PLAIN, LIKELIHOOD = P2Weighting(gamma=0), P2Weighting(likelihood=True)


def _images(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(4)) * 2 - 1


def _loss(process: ScoreProcess, model: object, images: Tensor, seed: int = 9) -> Tensor:
    generator, labels = torch.Generator().manual_seed(seed), torch.zeros(len(images))
    return process.loss(model, images, labels, generator, GaussianNoise())  # type: ignore[arg-type]


def _process(name: str, weighting: P2Weighting) -> ScoreProcess:
    process = EPSILON.build(ScheduleSpec(name), weighting)
    assert isinstance(process, ScoreProcess)
    return process


@pytest.mark.parametrize("weighting", [PLAIN, LIKELIHOOD], ids=["plain", "likelihood"])
@pytest.mark.parametrize("name", SDES)
def test_loss_is_the_weighted_error_of_the_score(name: str, weighting: P2Weighting) -> None:
    images, seen = _images(16), list[tuple[Tensor, Tensor]]()

    def model(x: Tensor, time: Tensor) -> Tensor:
        seen.append((x, time))
        return 0.1 * x

    loss = _loss(_process(name, weighting), model, images)
    ((x, told),) = seen
    sde, total = sde_of(ScheduleSpec(name)), 0.0
    for i in range(16):
        t = sde.first + (1 - sde.first) * told[i].double() / 999
        m, s = float(sde.signal(t)), float(sde.noise(t))
        x_t = x[i].double() * math.sqrt(m**2 + s**2)
        # grad log p(x_t | x_0) of a normal distribution, and the score that the model stands for.
        target = -(x_t - m * images[i].double()) / s**2
        score = -0.1 * x[i].double() / s
        weight = s**2 if weighting is PLAIN else float(sde.diffusion(t)) ** 2
        total += weight * (score - target).square().mean().item()
    assert loss.item() == pytest.approx(total / 16, rel=2e-3)


@pytest.mark.parametrize("name", SDES)
def test_gradient_is_that_of_central_differences(name: str) -> None:
    process, images = _process(name, P2Weighting()), _images(8)

    def loss(weight: Tensor) -> Tensor:
        return _loss(process, lambda x, t: torch.tanh(weight * x) + weight * t[0] / 999, images)

    weight = torch.tensor(0.3, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(weight), weight)
    high, low = (loss(torch.tensor(0.3 + each)).item() for each in (1e-2, -1e-2))
    assert slope.item() == pytest.approx((high - low) / 2e-2, rel=2e-3)


def test_times_are_uniform_between_the_ends_and_follow_from_the_generator() -> None:
    drawn = list[Tensor]()

    def model(x: Tensor, time: Tensor) -> Tensor:
        drawn.append(time)
        return torch.zeros_like(x)

    process = _process("vp-sde", PLAIN)
    losses = [_loss(process, model, _images(4000), seed).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    times = drawn[0]
    assert times.dtype == torch.float32
    assert 0 < times.min() < 2
    assert 997 < times.max() <= 999
    assert len(times.unique()) > 3900
    # 400 a bin, standard deviation 19.
    assert (torch.histc(times, bins=10, min=0, max=999) - 400).abs().max() < 80
    # Predicting nothing leaves the variance of the noise.
    assert losses[0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", SDES)
def test_the_score_of_the_data_has_the_least_loss(name: str) -> None:
    """Of images whose pixels are N(0, 0.3^2), for all weights, by more than the noise of a mean."""
    images = 0.3 * torch.randn(256, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    sde = sde_of(ScheduleSpec(name))
    for weighting in (PLAIN, LIKELIHOOD):
        process = _process(name, weighting)

        def model(x: Tensor, time: Tensor, factor: float) -> Tensor:
            level = sde.alpha_bar(sde.time(time / 999)).float()[:, None, None, None]
            return factor * (1 - level).sqrt() / (0.09 * level + 1 - level) * x

        best, *others = (
            _loss(process, lambda x, t, by=by: model(x, t, by), images).item()
            for by in (1.0, 0.9, 1.1)
        )
        assert best < min(others)
