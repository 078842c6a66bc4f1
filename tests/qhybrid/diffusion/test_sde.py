"""SDEs against integrated moments and diffusers, samplers on Gaussian data with the exact score."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from torch import Tensor

from qhybrid.diffusion.process import EPSILON, LATENT, STATES
from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, sampling_scheduler, trailing_timesteps
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.sde import LEAST_NOISE, SDES, sde_of
from qhybrid.diffusion.specs import SDE_ENDS, P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError

T = 1000


def _beta(t: float) -> float:
    return 0.1 + t * (20.0 - 0.1)


def _coefficients(name: str, t: float) -> tuple[float, float]:
    """Return f and g^2 of dx = f x dt + g dw, as Song et al. (2021) print them."""
    if name == "ve-sde":
        return 0.0, (0.01 * (50 / 0.01) ** t) ** 2 * 2 * math.log(50 / 0.01)
    g2 = _beta(t)
    if name == "sub-vp-sde":
        g2 *= 1 - math.exp(-2 * quad(_beta, 0, t)[0])
    return -_beta(t) / 2, g2


@pytest.mark.parametrize("name", SDES)
def test_moments_are_those_that_the_sde_integrates_to(name: str) -> None:
    sde, times = sde_of(ScheduleSpec(name)), np.linspace(0, 1, 21)

    def change(t: float, moments: np.ndarray) -> list[float]:
        f, g2 = _coefficients(name, t)
        return [f * moments[0], 2 * f * moments[1] + g2]

    start = [1.0, 0.01**2 if name == "ve-sde" else 0.0]
    found = solve_ivp(change, (0, 1), start, t_eval=times, rtol=1e-10, atol=1e-13).y
    t = torch.tensor(times)
    np.testing.assert_allclose(sde.signal(t).numpy(), found[0], rtol=1e-6)
    np.testing.assert_allclose(sde.noise(t).square().numpy(), found[1], rtol=1e-6, atol=1e-10)
    g2 = [_coefficients(name, float(each))[1] for each in times]
    np.testing.assert_allclose(sde.diffusion(t).square().numpy(), g2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SDES)
def test_schedulers_have_the_levels_of_the_sde(name: str) -> None:
    spec = ScheduleSpec(name)
    sde, levels = sde_of(spec), noise_scheduler(spec).alphas_cumprod.double()
    t = sde.grid(T)
    # The image of x / sqrt(m^2 + s^2), and its noise, in single precision.
    scale = (sde.signal(t) ** 2 + sde.noise(t) ** 2).sqrt()
    torch.testing.assert_close(levels.sqrt(), sde.signal(t) / scale, rtol=1e-5, atol=0)
    torch.testing.assert_close((1 - levels).sqrt(), sde.noise(t) / scale, rtol=1e-3, atol=0)
    assert float(sde.noise(t)[0]) == pytest.approx(LEAST_NOISE, rel=1e-9)
    assert float(t[-1]) == 1
    assert set(SDES) == set(SDE_ENDS)


def test_vp_is_the_limit_of_the_linear_schedule() -> None:
    levels = [noise_scheduler(ScheduleSpec(name)).alphas_cumprod for name in ("vp-sde", "linear")]
    torch.testing.assert_close(levels[0].sqrt(), levels[1].sqrt(), atol=2e-3, rtol=0)


def _step(spec: ScheduleSpec, x: Tensor, noise: Tensor, timestep: int) -> Tensor:
    """Return a step of `sde` whose predicted image is not clipped, with noise of seed 2."""
    solver = sampling_scheduler("sde", spec, T)
    generator = torch.Generator().manual_seed(2)
    return solver.step(noise, timestep, x, generator=generator, return_dict=False)[0]  # type: ignore[arg-type, no-any-return]


@pytest.mark.parametrize("timestep", [3, 400, 999])
def test_a_step_of_the_ve_sde_is_that_of_diffusers(
    timestep: int, generator: torch.Generator
) -> None:
    deprecated = pytest.importorskip("diffusers.schedulers.scheduling_sde_ve")
    theirs = deprecated.ScoreSdeVeScheduler(T, sigma_min=0.01, sigma_max=50.0, sampling_eps=1e-5)
    theirs.set_timesteps(T)
    theirs.set_sigmas(T, sigma_min=0.01, sigma_max=50.0)
    sigma = float(sde_of(ScheduleSpec("ve-sde")).noise(torch.tensor(timestep / (T - 1))))
    noise = torch.randn(2, 1, 8, 8, generator=generator)
    x = 0.5 + sigma * noise
    time = torch.tensor(timestep / (T - 1))
    given = torch.Generator().manual_seed(2)
    expected = theirs.step_pred(-noise / sigma, time, x, generator=given).prev_sample
    ours = _step(ScheduleSpec("ve-sde"), x, noise, timestep)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("timestep", [3, 400, 999])
def test_a_step_of_the_vp_sde_is_equation_46(timestep: int, generator: torch.Generator) -> None:
    sde = sde_of(ScheduleSpec("vp-sde"))
    noise, t = torch.randn(2, 1, 8, 8, generator=generator), sde.grid(T)[timestep]
    x = 0.5 * sde.signal(t).float() + sde.noise(t).float() * noise
    before = float(sde.grid(T)[timestep - 1])
    beta = 1 - math.exp(-quad(_beta, before, float(t))[0])
    z = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    score = -noise / sde.noise(t).float()
    expected = (2 - math.sqrt(1 - beta)) * x + beta * score + math.sqrt(beta) * z
    ours = _step(ScheduleSpec("vp-sde"), x, noise, timestep)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


STD, CORRELATION = 0.15, 0.6
_PLACES = torch.arange(8, dtype=torch.float64)
MEAN = 0.2 * torch.sin(_PLACES)
COVARIANCE = STD**2 * CORRELATION ** (_PLACES[:, None] - _PLACES).abs()


def _gaussian(spec: ScheduleSpec) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the noise in x that follows from the score of p_t, where rows of 8x8 are Gaussian."""
    sde = sde_of(spec)

    def model(x: Tensor, time: Tensor) -> Tensor:
        t = sde.time(time[0] / (spec.timesteps - 1))
        m, s = float(sde.signal(t)), float(sde.noise(t))
        own = x.double() * math.sqrt(m**2 + s**2)
        variance = m**2 * COVARIANCE + s**2 * torch.eye(8)
        score = -torch.linalg.solve(variance, (own - m * MEAN)[..., None])[..., 0]
        return (-s * score).float()

    return model


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
@pytest.mark.parametrize("name", SDES)
def test_samplers_return_mean_and_covariance_of_the_data(name: str, sampler: str) -> None:
    spec = ScheduleSpec(name)
    drawn = sample(
        _gaussian(spec),
        shape=(96, 1, 8, 8),
        spec=spec,
        sampler=sampler,
        steps=160,
        process=EPSILON.build(spec, P2Weighting()),
    ).images
    rows = drawn.double().reshape(-1, 8)
    # 768 rows: the standard error of a mean is 0.0054, and of the covariances below about 3 %.
    torch.testing.assert_close(rows.mean(0), MEAN, atol=0.022, rtol=0)
    # With 160 steps first-order methods are some percent off, see test_sampling.py.
    found, worst = torch.cov(rows.T), 0.25 if sampler in ("ddpm", "ddim", "sde", "pc") else 0.12
    for lag in range(3):
        expected = STD**2 * CORRELATION**lag
        assert float(found.diagonal(lag).mean()) == pytest.approx(expected, rel=worst)


@pytest.mark.parametrize("steps", [1, 6, 7])
def test_a_corrector_shares_the_evaluations_with_the_predictor(steps: int) -> None:
    spec, seen = ScheduleSpec("ve-sde"), list[int]()

    def model(x: Tensor, time: Tensor) -> Tensor:
        seen.append(int(time[0]))
        return _gaussian(spec)(x, time)

    process = EPSILON.build(spec, P2Weighting())
    shape, sampler = (1, 1, 8, 8), "pc"
    drawn = sample(model, shape=shape, spec=spec, sampler=sampler, steps=steps, process=process)
    assert len(seen) == steps
    reached = trailing_timesteps(spec, steps)[::2]
    assert seen == [t for t in reached for _ in range(2)][-steps:]
    assert process.times(sampler, steps) == seen
    assert drawn.images.isfinite().all()


def test_models_without_whole_timesteps_alone_refuse_an_sde() -> None:
    spec = ScheduleSpec("vp-sde", 10)
    for row in (STATES, LATENT):
        with pytest.raises(RequestError, match=r"continuous time, but .* whole timesteps; choose"):
            row.build(spec, P2Weighting())
    for wrong in ({"sigma_min": 0.1}, {"beta_start": 3.0, "beta_end": 1.0}):
        with pytest.raises(RequestError, match=r"leave it out|betas must satisfy"):
            ScheduleSpec("vp-sde", **wrong)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="sigma_min < sigma_max"):
        ScheduleSpec("ve-sde", sigma_min=60.0)
    with pytest.raises(RequestError, match="use larger ends"):
        noise_scheduler(ScheduleSpec("vp-sde", beta_start=1e-9, beta_end=1e-9))
    with pytest.raises(RequestError, match="no SDE"):
        sde_of(ScheduleSpec("linear"))
