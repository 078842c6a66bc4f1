"""The data are Gaussian, for which the best denoiser and every sampler's answer are known."""

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qhybrid.diffusion.samplers import IMAGE_SAMPLERS, sampling_scheduler
from qhybrid.diffusion.sampling import image_generator, sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid_circuits.errors import RequestError, ShapeError, UnknownNameError
from tests.selection import thorough

_SPEC = ScheduleSpec()
_MEAN, _STD = 0.2, 0.15


class _GaussianDenoiser(nn.Module):
    """E[epsilon | x_t] for x_0 ~ N(mean, std^2) per pixel."""

    def __init__(self, spec: ScheduleSpec) -> None:
        super().__init__()
        self.alpha_bar = noise_scheduler(spec).alphas_cumprod.double()
        self.seen: list[tuple[int, bool, bool]] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.seen.append((int(t[0]), self.training, torch.is_grad_enabled()))
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        variance = a * _STD**2 + 1 - a
        return ((1 - a).sqrt() / variance * (x.double() - a.sqrt() * _MEAN)).float()


def _draw(sampler: str, steps: int, spec: ScheduleSpec = _SPEC) -> tuple[float, float]:
    images = sample(
        _GaussianDenoiser(spec),
        shape=(64, 1, 32, 32),
        spec=spec,
        sampler=sampler,
        steps=steps,
        seed=1,
    ).images
    return images.mean().item(), images.std().item()


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
@pytest.mark.parametrize("schedule", ["cosine", *thorough(["linear"])])
def test_many_steps_give_the_data_distribution(sampler: str, schedule: str) -> None:
    mean, std = _draw(sampler, 600, ScheduleSpec(schedule))
    # 65,536 values: standard errors are 0.0006 and 0.3 %.
    assert mean == pytest.approx(_MEAN, abs=0.003)
    # At 600 steps the first-order methods are still some percent off (halving with the step,
    # see the closed forms below), the second-order ones are there.
    tolerance = 0.05 if sampler in ("ddpm", "ddim", "sde", "pc") else 0.012
    assert std == pytest.approx(_STD, rel=tolerance)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpm++", 2)])
def test_error_falls_with_the_order_of_the_method(sampler: str, order: int) -> None:
    coarse, fine = (abs(_draw(sampler, steps)[1] / _STD - 1) for steps in (20, 80))
    assert fine < coarse / 4**order * 1.8


@pytest.mark.parametrize("steps", [10, 30, 50, *thorough([1000])])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "sde"])
def test_spread_follows_the_closed_form(sampler: str, steps: int) -> None:
    """With a linear denoiser every step is affine, so the variance obeys a recursion.

    Written from equation 7 of Ho et al. 2020, equation 12 (sigma = 0) of Song, Meng and Ermon 2021,
    and equation 46 of Song, Sohl-Dickstein et al. 2021 with the predicted image in the end.
    """
    alpha_bar = noise_scheduler(_SPEC).alphas_cumprod.double().numpy()
    timesteps = np.round(1000 - np.arange(steps) * 1000 / steps).astype(int) - 1
    variance = 1.0
    for now, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        a = alpha_bar[now]
        b = 1.0 if following is None else alpha_bar[following]
        # d x0_hat / d x_t of the best denoiser.
        gain = np.sqrt(a) * _STD**2 / (a * _STD**2 + 1 - a)
        if sampler == "ddpm":
            beta = 1 - a / b
            slope = np.sqrt(b) * beta / (1 - a) * gain + np.sqrt(a / b) * (1 - b) / (1 - a)
            noise = (1 - b) / (1 - a) * beta
        elif sampler == "sde":
            beta = 1 - a / b
            slope = 2 - np.sqrt(1 - beta) + beta * (np.sqrt(a) * gain - 1) / (1 - a)
            noise = beta
            if following is None:
                slope, noise = gain, 0.0
        else:
            slope = np.sqrt(b) * gain + np.sqrt(1 - b) * (1 - np.sqrt(a) * gain) / np.sqrt(1 - a)
            noise = 0.0
        variance = slope**2 * variance + noise
    # Four standard errors of the standard deviation of 65,536 values.
    assert _draw(sampler, steps)[1] == pytest.approx(np.sqrt(variance), rel=0.012)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_ode_follows_every_pixel_of_the_probability_flow(schedule: str) -> None:
    """Quantiles stay quantiles: (x_t - mean_t) / std_t is the same at all times."""
    spec = ScheduleSpec(schedule)
    alpha_bar = noise_scheduler(spec).alphas_cumprod.double()
    worst = {}
    for sampler in ("ddim", "ode"):
        # The second half of the steps is left out: frame 50 of 100 is x at the 51st timestep.
        frames = sample(
            _GaussianDenoiser(spec),
            shape=(4, 1, 16, 16),
            spec=spec,
            sampler=sampler,
            steps=100,
            keep=3,
        ).frames
        assert frames is not None
        noise = torch.cat(
            [torch.randn(1, 1, 16, 16, generator=image_generator(0, i)) for i in range(4)]
        )
        first, middle = alpha_bar[999], alpha_bar[499]
        spread = ((middle * _STD**2 + 1 - middle) / (first * _STD**2 + 1 - first)).sqrt()
        exact = middle.sqrt() * _MEAN + spread * (noise - first.sqrt() * _MEAN)
        inside = exact.abs() < 0.99
        worst[sampler] = (frames[1] - exact)[inside].abs().max().item()
    assert worst["ode"] < 2e-4
    assert worst["ode"] < worst["ddim"]


def test_ode_and_ddim_agree_in_the_limit_of_many_steps() -> None:
    differences = []
    for steps in (25, 100, 1000):
        ode, ddim = (
            sample(
                _GaussianDenoiser(_SPEC),
                shape=(4, 1, 16, 16),
                spec=_SPEC,
                sampler=name,
                steps=steps,
            ).images
            for name in ("ode", "ddim")
        )
        differences.append((ode - ddim).abs().max().item())
    assert differences[0] > 2 * differences[1] > 4 * differences[2]
    assert differences[2] < 0.005


@pytest.mark.parametrize("timestep", [50, 400, 999])
def test_sde_step_is_that_of_diffusers_continuous_scheduler(timestep: int) -> None:
    """On the linear schedule, which ScoreSdeVpScheduler has: beta dt from 0.1 / T to 20 / T."""
    deprecated = pytest.importorskip("diffusers.schedulers.deprecated.scheduling_sde_vp")
    continuous = deprecated.ScoreSdeVpScheduler(
        num_train_timesteps=1000, beta_min=0.1, beta_max=20.0
    )
    continuous.set_timesteps(1000)
    spec = ScheduleSpec("linear")
    ours = sampling_scheduler("sde", spec, 1000)
    alpha_bar = ours.alphas_cumprod[timestep]
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 1, 8, 8, generator=generator)
    x = alpha_bar.sqrt() * 0.5 + (1 - alpha_bar).sqrt() * noise
    time = torch.tensor((timestep + 1) / 1000)
    theirs, _ = continuous.step_pred(noise, x, time, generator=torch.Generator().manual_seed(2))
    generator.manual_seed(2)
    (mine,) = ours.step(noise, timestep, x, generator=generator, return_dict=False)  # type: ignore[arg-type]
    move = (theirs - x).abs().max()
    # The discretizations differ by terms of order beta^2.
    assert (mine - theirs).abs().max() < 0.015 * move


def test_ddim_is_diffusers_ddim_where_that_one_is_right() -> None:
    """50 divides 1000, so DDIMScheduler visits the timesteps that it computes with."""
    reference = diffusers.DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing", clip_sample=True
    )
    reference.set_timesteps(50)
    weights = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)

    def model(x: Tensor, t: Tensor) -> Tensor:
        # Nothing like a denoiser, so that clipping acts at most steps.
        return torch.tanh(x * weights + t.view(-1, 1, 1, 1) / 500)

    x = torch.cat([torch.randn(1, 1, 8, 8, generator=image_generator(3, i)) for i in range(4)])
    clipped = 0
    for t in reference.timesteps:
        step = reference.step(model(x, t.expand(4)), int(t), x, use_clipped_model_output=True)
        x = step.prev_sample
        clipped += int((step.pred_original_sample.abs() == 1).sum())
    ours = sample(model, shape=(4, 1, 8, 8), spec=_SPEC, sampler="ddim", steps=50, seed=3)
    assert clipped > 100
    torch.testing.assert_close(ours.images, x.clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_predicted_images_are_clipped(sampler: str) -> None:
    """A small error at alpha-bar of 2e-9 would else be magnified 20,000 times and stay."""

    def slightly_wrong(x: Tensor, t: Tensor) -> Tensor:
        return _GaussianDenoiser(_SPEC)(x, t) + 0.02 * torch.sin(40 * x)

    result = sample(
        slightly_wrong, shape=(16, 1, 8, 8), spec=_SPEC, sampler=sampler, steps=20, keep=21
    )
    assert result.images.mean().item() == pytest.approx(_MEAN, abs=0.1)
    assert result.images.abs().max() < 1


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_an_image_depends_on_seed_and_index_only(sampler: str) -> None:
    model = _GaussianDenoiser(_SPEC)
    options = {"spec": _SPEC, "sampler": sampler, "steps": 6, "seed": 11}
    together = sample(model, shape=(6, 1, 8, 8), **options).images  # type: ignore[arg-type]
    chunked = sample(model, shape=(6, 1, 8, 8), batch_size=4, **options).images  # type: ignore[arg-type]
    first = sample(model, shape=(2, 1, 8, 8), **options).images  # type: ignore[arg-type]
    last = sample(model, shape=(1, 1, 8, 8), first_index=5, **options).images  # type: ignore[arg-type]
    for other, same in ((chunked, together), (first, together[:2]), (last, together[5:])):
        torch.testing.assert_close(other, same, atol=1e-6, rtol=0)
    assert len({tuple(image.flatten().tolist()) for image in together}) == 6
    options["seed"] = 12
    assert not torch.equal(sample(model, shape=(6, 1, 8, 8), **options).images, together)  # type: ignore[arg-type]


def test_global_random_state_is_neither_used_nor_moved() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = _draw("ddpm", 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert _draw("ddpm", 3) == first


def test_frames_go_from_noise_to_the_images() -> None:
    result = sample(
        _GaussianDenoiser(_SPEC), shape=(5, 1, 8, 8), spec=_SPEC, steps=10, keep=4, batch_size=2
    )
    assert result.frames is not None
    assert [frame.shape for frame in result.frames] == [(5, 1, 8, 8)] * 4
    noise = torch.randn(1, 1, 8, 8, generator=image_generator(0, 4)).clamp(-1, 1)
    assert torch.equal(result.frames[0][4:], noise)
    assert torch.equal(result.frames[-1], result.images)
    assert not torch.equal(result.frames[1], result.frames[2])
    assert sample(_GaussianDenoiser(_SPEC), shape=(1, 1, 8, 8), spec=_SPEC, steps=2).frames is None


def test_progress_and_model_calls() -> None:
    model, calls = _GaussianDenoiser(_SPEC).train(), []
    sample(
        model,
        shape=(5, 1, 8, 8),
        spec=_SPEC,
        steps=4,
        batch_size=3,
        on_step=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(i, 8) for i in range(1, 9)]
    assert model.seen == [(t, False, False) for t in (999, 749, 499, 249)] * 2
    assert model.training


def test_training_mode_returns_after_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            raise ArithmeticError

    model = Broken()
    with pytest.raises(ArithmeticError):
        sample(model, shape=(1, 1, 8, 8), spec=_SPEC)
    assert model.training


def test_tensors_made_while_sampling_still_serve_training() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.cache = nn.Parameter(torch.ones(())), None

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            self.cache = torch.full((), 2.0) if self.cache is None else self.cache
            return self.weight * self.cache * x

    model = Caching()
    sample(model, shape=(1, 1, 8, 8), spec=_SPEC, steps=2)
    model(torch.ones(1, 1, 8, 8), torch.zeros(1)).sum().backward()
    assert model.weight.grad == 128


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_schedulers_are_built_without_a_warning(sampler: str) -> None:
    """As under `python -W error`."""
    assert len(sampling_scheduler(sampler, ScheduleSpec(), 10).timesteps) == 10


def test_wrong_requests() -> None:
    model = _GaussianDenoiser(_SPEC)
    with pytest.raises(UnknownNameError, match="did you mean ddim"):
        sample(model, shape=(1, 1, 8, 8), spec=_SPEC, sampler="dim")
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"seed": -1}, {"keep": -1}):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            sample(model, shape=(1, 1, 8, 8), spec=_SPEC, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        sample(model, shape=(0, 1, 8, 8), spec=_SPEC)
