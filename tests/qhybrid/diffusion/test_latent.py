import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import EDMEulerScheduler
from torch import Tensor, nn

from qhybrid.diffusion.edm import SIGMA_MAX, SIGMA_MIN, SOLVERS, edm_scheduler, preconditioning
from qhybrid.diffusion.latent import MEAN_LOG_SIGMA, STD_LOG_SIGMA, LatentProcess
from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.process import EPSILON, LATENT
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError

SPEC = ScheduleSpec()
PROCESS = LatentProcess(SPEC, P2Weighting())
MEANS = torch.tensor([0.5, -1.0, 0.0])
STDS = torch.tensor([0.2, 1.0, 1.5])


class Pixels(nn.Module):
    """Stands for an autoencoder: the latents are the pixels of an image of 1 x 3, a tenth each."""

    latents = 3

    def decode(self, latents: Tensor) -> Tensor:
        return latents.view(-1, 1, 1, 3) / 10


class Ideal(nn.Module):
    """The best F for independent normal latents: D is the mean of x_0 given x, and F = (D - skip x)
    / output."""

    def __init__(self) -> None:
        super().__init__()
        self.autoencoder = Pixels()

    def forward(self, x: Tensor, time: Tensor, *labels: Tensor) -> Tensor:
        sigma = (4 * time[:, None]).exp()
        skip, output, scale, _ = preconditioning(sigma)
        noisy = x / scale
        share = STDS**2 / (STDS**2 + sigma**2)
        denoised = MEANS + share * (noisy - MEANS)
        return (denoised - skip * noisy) / output


def test_the_preconditioning_is_that_of_diffusers(generator: torch.Generator) -> None:
    scheduler = EDMEulerScheduler(sigma_data=1.0)
    sigma = torch.rand(5, 1, generator=generator) * 10 + 0.01
    x, predicted = (torch.randn(5, 3, generator=generator) for _ in range(2))
    skip, output, scale, time = preconditioning(sigma)
    torch.testing.assert_close(scale * x, scheduler.precondition_inputs(x, sigma))
    denoised = scheduler.precondition_outputs(x, predicted, sigma)
    torch.testing.assert_close(skip * x + output * predicted, denoised)
    torch.testing.assert_close(time, scheduler.precondition_noise(sigma))


def test_the_loss_weighs_the_error_of_the_denoised(generator: torch.Generator) -> None:
    """Karras et al. (2022), equation 2, with lambda = (sigma^2 + 1) / sigma^2 of table 1."""
    latents, labels = torch.randn(64, 3, generator=generator), torch.zeros(64, dtype=torch.long)
    model, state = Ideal(), generator.get_state()
    loss = PROCESS.loss(model, latents, labels, generator, GaussianNoise())
    generator.set_state(state)
    drawn = torch.randn(64, 1, generator=generator)
    sigma = (MEAN_LOG_SIGMA + STD_LOG_SIGMA * drawn).exp()
    noisy = latents + sigma * torch.randn(64, 3, generator=generator)
    share = STDS**2 / (STDS**2 + sigma**2)
    error = (MEANS + share * (noisy - MEANS) - latents).square()
    torch.testing.assert_close(loss, ((sigma**2 + 1) / sigma**2 * error).mean())


@pytest.mark.parametrize("sampler", [name for name in LATENT.samplers if name != "sde-dpm++"])
def test_solvers_follow_the_probability_flow(sampler: str) -> None:
    """For normal data, x - mean is scaled by sqrt(std^2 + sigma^2) along the ODE of equation 1."""
    steps = {"ddim": 400, "heun": 61}.get(sampler, 60)
    drawn = sample(
        Ideal(),
        shape=(4, 1, 1, 3),
        spec=SPEC,
        sampler=sampler,
        steps=steps,
        process=PROCESS,
        keep=2,
    )
    start = drawn.frames[0].view(4, 3) * 10 * math.sqrt(SIGMA_MAX**2 + 1)
    exact = MEANS + (start - MEANS) * STDS / (STDS**2 + SIGMA_MAX**2).sqrt()
    torch.testing.assert_close(drawn.images.view(4, 3) * 10, exact, atol=0.02, rtol=0)


@pytest.mark.parametrize("sampler", LATENT.samplers)
def test_ten_steps_draw_the_distribution(sampler: str) -> None:
    # Heun's method has half as many noise levels, which are too few of them.
    steps = 21 if sampler == "heun" else 10
    drawn = sample(
        Ideal(), shape=(4000, 1, 1, 3), spec=SPEC, sampler=sampler, steps=steps, process=PROCESS
    )
    latents = drawn.images.view(-1, 3) * 10
    torch.testing.assert_close(latents.mean(0), MEANS, atol=0.08, rtol=0)
    torch.testing.assert_close(latents.std(0), STDS, atol=0.03, rtol=0.2)


def test_heun_takes_the_steps_of_the_paper() -> None:
    """Karras et al. (2022), algorithm 1 with sigma(t) = t and equation 5 with rho = 7."""
    model = Ideal()
    drawn = sample(
        model, shape=(2, 1, 1, 3), spec=SPEC, sampler="heun", steps=7, process=PROCESS, keep=2
    )
    x = drawn.frames[0].view(2, 3).double() * 10 * math.sqrt(SIGMA_MAX**2 + 1)
    ends = SIGMA_MAX ** (1 / 7), SIGMA_MIN ** (1 / 7)
    levels = [(ends[0] + i / 3 * (ends[1] - ends[0])) ** 7 for i in range(4)] + [0.0]

    def slope(x: Tensor, sigma: float) -> Tensor:
        share = STDS**2 / (STDS**2 + sigma**2)
        return (x - MEANS - share * (x - MEANS)) / sigma

    for sigma, following in pairwise(levels):
        first = slope(x, sigma)
        ahead = x + (following - sigma) * first
        if following:
            first = (first + slope(ahead, following)) / 2
        x = x + (following - sigma) * first
    found = drawn.images.view(2, 3) * 10
    torch.testing.assert_close(found.double(), x.double(), atol=2e-4, rtol=0)
    assert PROCESS.times("heun", 7) == pytest.approx(
        [math.log(s) / 4 for s in (levels[0], *(each for each in levels[1:4] for _ in range(2)))],
        abs=1e-5,
    )


def test_heun_takes_an_odd_number_of_steps_and_latents() -> None:
    with pytest.raises(RequestError, match="odd number of steps, but was asked for 8; take 7 or 9"):
        LATENT.check_sampler(SPEC, "heun", 8)
    with pytest.raises(RequestError, match="heun is for models of latents only; choose ode"):
        EPSILON.check_sampler(SPEC, "heun", 9)


def test_a_chain_evaluates_the_model_once_a_step_at_its_times() -> None:
    seen: list[float] = []
    model = Ideal()
    model.register_forward_pre_hook(lambda _, arguments: seen.append(float(arguments[1][0])))
    sample(model, shape=(2, 1, 1, 3), spec=SPEC, sampler="dpm++", steps=6, process=PROCESS)
    assert seen == PROCESS.times("dpm++", 6) == edm_scheduler("dpm++", 6).timesteps.tolist()
    assert len(seen) == 6


def test_classes_come_in_turn() -> None:
    told: list[Any] = []
    model = Ideal()
    model.register_forward_pre_hook(lambda _, arguments: told.append(arguments[2].tolist()))
    process = LatentProcess(SPEC, P2Weighting(), classes=2)
    drawn = sample(
        model,
        shape=(3, 1, 1, 3),
        spec=SPEC,
        sampler="ddim",
        steps=1,
        process=process,
        first_index=1,
    )
    assert told == [[1, 0, 1]]
    assert drawn.labels is not None
    assert drawn.labels.tolist() == [1, 0, 1]


def test_other_samplers_are_refused() -> None:
    assert set(LATENT.samplers) == {*SOLVERS, "heun"}
    with pytest.raises(
        RequestError, match="by the samplers dpm\\+\\+, ddim, ode, sde-dpm\\+\\+, heun, but"
    ):
        sample(Ideal(), shape=(1, 1, 1, 3), spec=SPEC, sampler="ddpm", steps=2, process=PROCESS)
