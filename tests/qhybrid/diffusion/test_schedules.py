import math

import numpy as np
import pytest
import torch

from qhybrid.diffusion import ScheduleSpec, noise_scheduler
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
