import cmath
import math

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from qiskit.quantum_info import state_fidelity
from torch.nn import functional

from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.diffusion.state_process import (
    check_not_black,
    complex_noise,
    in_phase,
    infidelity,
    posterior,
    state_loss,
    to_images,
    to_states,
)
from qhybrid_circuits.errors import RequestError

SPEC = ScheduleSpec("cosine", 10)


def random_states(count: int, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(count, 2, 4, 4, generator=generator, dtype=torch.float64)
    return functional.normalize(drawn.flatten(1), dim=1).view_as(drawn)


def vector(state: torch.Tensor) -> np.ndarray:
    """One state (2 * C, H, W) as numpy's complex numbers."""
    real, imaginary = state.chunk(2)
    return (real + 1j * imaginary).flatten().numpy()


def turned(states: torch.Tensor, angle: float) -> torch.Tensor:
    real, imaginary = states.chunk(2, dim=1)
    numbers = (real + 1j * imaginary) * cmath.exp(1j * angle)
    return torch.cat([numbers.real, numbers.imag], dim=1)


@pytest.mark.parametrize("spec", [SPEC, ScheduleSpec("linear", 50)], ids=lambda spec: spec.name)
def test_the_posterior_is_that_of_diffusers(spec: ScheduleSpec, generator) -> None:
    """The step of DDPMScheduler with x_0 given is the mean plus its noise."""
    ours = noise_scheduler(spec)
    theirs = DDPMScheduler.from_config(
        ours.config, prediction_type="sample", clip_sample=False, variance_type="fixed_small"
    )
    image, current = torch.randn(2, 1, 1, 4, 4, generator=generator)
    to_image, to_current, variance = posterior(ours.alphas_cumprod)
    for t in range(spec.timesteps):
        noise = torch.Generator().manual_seed(t)
        expected = theirs.step(image, t, current, generator=noise).prev_sample
        mean = to_image[t] * image + to_current[t] * current
        z = torch.randn(current.shape, generator=torch.Generator().manual_seed(t))
        # diffusers keeps the variance above 1e-20 and adds none at the last step.
        torch.testing.assert_close(mean + variance[t].sqrt() * z, expected, atol=1e-5, rtol=1e-4)
    assert (to_image[0], to_current[0], variance[0]) == (1, 0, 0)


def test_infidelity_is_one_minus_qiskits_state_fidelity(generator) -> None:
    first, second = random_states(5, generator), random_states(5, generator)
    expected = [
        1 - state_fidelity(vector(a), vector(b)) for a, b in zip(first, second, strict=True)
    ]
    torch.testing.assert_close(
        infidelity(first, second), torch.tensor(expected, dtype=torch.float64)
    )
    assert infidelity(first, first).abs().max() < 1e-12


def test_infidelity_does_not_see_a_global_phase(generator) -> None:
    first, second = random_states(3, generator), random_states(3, generator)
    expected = infidelity(first, second)
    for angle in (0.4, math.pi, -2.0):
        torch.testing.assert_close(infidelity(turned(first, angle), second), expected)
        torch.testing.assert_close(infidelity(first, turned(second, angle)), expected)


def test_infidelity_has_the_right_gradient(generator) -> None:
    first, second = random_states(2, generator), random_states(2, generator)
    assert torch.autograd.gradcheck(infidelity, (first.requires_grad_(), second))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_in_phase_undoes_any_phase_of_a_mean(share: float, generator) -> None:
    """Also where most of the mean is noise, whose sum may have any phase."""
    images = to_states(2 * torch.rand(50, 1, 4, 4, generator=generator) - 1)
    noise = torch.randn(images.shape, generator=generator)
    means = (1 - share) * images + share * noise
    for angle in (0.0, 0.4, math.pi, -2.0):
        found = in_phase(turned(means, angle), share * noise)
        torch.testing.assert_close(found, means, atol=1e-4, rtol=0)
    nothing = torch.zeros(1, 2, 2, 2)
    assert torch.equal(in_phase(nothing, nothing), nothing)


def test_images_become_states_and_come_back(generator) -> None:
    images = 2 * torch.rand(4, 3, 8, 8, generator=generator) - 1
    images[:, 0, 0, 0] = 1
    states = to_states(images)
    assert states.shape == (4, 6, 8, 8)
    assert not states[:, 3:].any()
    torch.testing.assert_close(states.flatten(1).norm(dim=1), torch.full((4,), 192**0.5))
    for angle, length in ((0.0, 1.0), (2.5, 1e-3)):
        torch.testing.assert_close(to_images(length * turned(states, angle)), images)


def test_black_has_no_direction_and_is_refused_before_training() -> None:
    black = -torch.ones(1, 1, 2, 2)
    assert not to_states(black).any()
    assert torch.equal(to_images(to_states(black)), black)
    pixels = torch.zeros(3, 2, 2, 1, dtype=torch.uint8)
    pixels[:2, 0, 0] = 1
    check_not_black(pixels[:2])
    with pytest.raises(RequestError, match="image 2 is black all over, 1 in all"):
        check_not_black(pixels)


def test_noise_and_noisy_states_have_the_length_of_images(generator) -> None:
    stream = GaussianNoise().stream(generator)
    noise = complex_noise(stream, (400, 2, 16, 16))
    parts = noise.chunk(2, dim=1)
    for part in parts:
        assert part.var() == pytest.approx(0.5, abs=0.01)
    assert (parts[0] * parts[1]).mean() == pytest.approx(0, abs=0.01)
    states = to_states(2 * torch.rand(400, 1, 16, 16, generator=generator) - 1)
    scheduler = noise_scheduler(SPEC)
    to_image, to_current, variance = posterior(scheduler.alphas_cumprod)
    for t in range(SPEC.timesteps):
        noisy = scheduler.add_noise(states, noise, torch.full((400,), t))
        assert noisy.square().sum() / 400 == pytest.approx(256, rel=0.02)
        mean = to_image[t] * states + to_current[t] * noisy
        assert mean.square().sum() / 400 == pytest.approx(256 * (1 - float(variance[t])), rel=0.02)


def test_the_loss_is_the_mean_infidelity_of_all_times(generator) -> None:
    """Of a model that knows the image it is 0; told another image it is what vectors give."""
    images = 2 * torch.rand(3, 1, 4, 4, generator=generator) - 1
    labels, scheduler = torch.tensor([2, 0, 1]), noise_scheduler(SPEC)
    to_image, to_current, _ = posterior(scheduler.alphas_cumprod)
    known, calls = to_states(images), []

    def model(x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        calls.append((t, c))
        means = to_image[t, None, None, None] * known.repeat(10, 1, 1, 1)
        means = means + to_current[t, None, None, None] * x
        predicted = functional.normalize(means.flatten(1), dim=1).view_as(x)
        return turned(predicted, 1.3)

    def loss() -> float:
        return float(state_loss(model, images, labels, scheduler, torch.Generator().manual_seed(1)))

    assert loss() == pytest.approx(0, abs=1e-5)
    times, classes = calls[0]
    assert times.tolist() == [t for t in range(10) for _ in range(3)]
    assert classes.tolist() == [2, 0, 1] * 10
    known = to_states(images.flip(0))
    assert loss() > 0.01
