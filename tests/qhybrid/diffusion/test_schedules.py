import math

import diffusers
import numpy as np
import pytest
import torch

from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, sampling_scheduler
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import BETA_ENDS, LEARNED_SCHEDULE, SCHEDULES, SDE_ENDS, ScheduleSpec
from qhybrid_circuits.errors import RequestError, UnknownNameError


@pytest.mark.parametrize("timesteps", [50, 1000])
def test_cosine_is_nichol_and_dhariwals(timesteps: int) -> None:
    """Equation 17 of "Improved Denoising Diffusion Probabilistic Models", betas clipped."""

    def f(t: float) -> float:
        return math.cos((t / timesteps + 0.008) / (1 + 0.008) * math.pi / 2) ** 2

    betas = np.array([min(1 - f(t + 1) / f(t), 0.999) for t in range(timesteps)])
    scheduler = noise_scheduler(ScheduleSpec("cosine", timesteps))
    expected = np.cumprod(1 - betas)
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), expected, rtol=1e-4, atol=1e-9)


def test_linear_runs_between_its_ends() -> None:
    scheduler = noise_scheduler(ScheduleSpec("linear"))
    expected = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), expected, rtol=1e-4)


FIXED = [name for name in SCHEDULES if name not in (LEARNED_SCHEDULE, *SDE_ENDS)]


def _spec(name: str, timesteps: int) -> ScheduleSpec:
    if name == "trained_betas":
        most = min(0.3, 30 / timesteps)
        return ScheduleSpec.of_betas([most * (t + 1) / timesteps for t in range(timesteps)])
    return ScheduleSpec(name, timesteps)


@pytest.mark.parametrize("timesteps", [2, 10, 1000])
@pytest.mark.parametrize("name", FIXED)
def test_levels_are_those_of_diffusers_in_every_sampler(name: str, timesteps: int) -> None:
    spec = _spec(name, timesteps)
    options = {"beta_schedule": {"cosine": "squaredcos_cap_v2"}.get(name, name)}
    if spec.betas is not None:
        options = {"trained_betas": np.array(spec.betas)}
    theirs = diffusers.DDPMScheduler(num_train_timesteps=timesteps, **options).alphas_cumprod
    assert torch.equal(noise_scheduler(spec).alphas_cumprod, theirs)
    for sampler in IMAGE_SAMPLERS:
        assert torch.equal(sampling_scheduler(sampler, spec, 2).alphas_cumprod, theirs)


@pytest.mark.parametrize("name", BETA_ENDS)
def test_ends_of_betas_can_be_set(name: str) -> None:
    betas = noise_scheduler(ScheduleSpec(name, 1000, 0.001, 0.05)).betas  # type: ignore[attr-defined]
    # The sigmoid is cut off at 6 from its middle, 0.25 % short of its ends.
    assert betas[0].item() == pytest.approx(0.001, abs=2e-4 if name == "sigmoid" else 1e-7)
    assert betas[-1].item() == pytest.approx(0.05, rel=0.003)


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
@pytest.mark.parametrize("name", FIXED)
def test_every_sampler_is_finite_on_every_schedule(name: str, sampler: str) -> None:
    """However noisy the last level is, and with a network that is no denoiser at all."""
    for timesteps, steps in ((2, 1), (10, 10), (100, 7), (100, 100)):
        images = sample(
            lambda x, t: 0.9 * x + 0.1 * torch.sin(3 * x),
            shape=(2, 1, 4, 4),
            spec=_spec(name, timesteps),
            sampler=sampler,
            steps=steps,
        ).images
        assert images.isfinite().all()


def test_levels_that_single_precision_cannot_hold_are_refused() -> None:
    with pytest.raises(RequestError, match="leaves the share 0e"):
        noise_scheduler(ScheduleSpec("linear", 20_000))
    for betas, timestep in (([0.999] * 8 + [1e-7], 8), ([1e-9, 0.1], 0), ([0.5, 1e-8], 1)):
        with pytest.raises(RequestError, match=f"adds less noise at timestep {timestep} than"):
            noise_scheduler(ScheduleSpec.of_betas(betas))


def test_configured_as_the_paper_says() -> None:
    config = noise_scheduler(ScheduleSpec()).config
    assert config.num_train_timesteps == 1000
    assert config.prediction_type == "epsilon"
    assert config.variance_type == "fixed_small"
    assert (config.clip_sample, config.clip_sample_range) == (True, 1.0)


def test_noising_keeps_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    images, noise = torch.randn(2, 4000, 1, 2, 2, generator=generator)
    scheduler = noise_scheduler(ScheduleSpec())
    for t in (0, 300, 999):
        noisy = scheduler.add_noise(images, noise, torch.full((4000,), t))
        # 16,000 values: the standard error of a variance is 0.011.
        assert noisy.var().item() == pytest.approx(1, abs=0.05)


def test_wrong_specs() -> None:
    with pytest.raises(UnknownNameError, match="did you mean cosine"):
        ScheduleSpec("cosin")
    with pytest.raises(RequestError, match="timesteps"):
        ScheduleSpec(timesteps=1)
    with pytest.raises(RequestError, match="beta_start"):
        ScheduleSpec("linear", beta_start=0.5, beta_end=0.1)
    with pytest.raises(RequestError, match="beta_end is of the schedules linear, scaled_linear, s"):
        ScheduleSpec("laplace", beta_end=0.1)
    for betas in ([0.1, math.nan], [0.1, 0.0], [0.1, math.inf]):
        with pytest.raises(RequestError, match=r"in \(0, 1\), all of them, but that of timestep 1"):
            ScheduleSpec.of_betas(betas)
