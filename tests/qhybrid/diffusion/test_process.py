"""A process of somebody else: what it predicts becomes noise, and every sampler draws from it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.process import EPSILON, STATES, Process, ProcessInfo
from qhybrid.diffusion.samplers import IMAGE_SAMPLERS
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError

SPEC = ScheduleSpec(timesteps=100)


class VelocityProcess(EpsilonProcess):
    """v = sqrt(alpha-bar) epsilon - sqrt(1 - alpha-bar) x_0 (Salimans and Ho 2022)."""

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        signal = self.scheduler.alphas_cumprod[t]
        return signal.sqrt() * predicted + (1 - signal).sqrt() * x


VELOCITY = ProcessInfo(VelocityProcess, models="a model of velocities")


@pytest.mark.parametrize("sampler", IMAGE_SAMPLERS)
def test_a_model_of_velocities_is_drawn_from_as_the_same_model_of_noise(sampler: str) -> None:
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    process = VELOCITY.build(SPEC, P2Weighting())
    alphas_cumprod = process.scheduler.alphas_cumprod

    def noise(x: Tensor, t: Tensor) -> Tensor:
        signal = alphas_cumprod[t][:, None, None, None]
        # Wrong on purpose, so that every step matters and not the last one alone.
        return (x - signal.sqrt() * image) / (1 - signal).sqrt() + 0.3 * torch.cos(3 * x)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        signal, epsilon = alphas_cumprod[t][:, None, None, None], noise(x, t)
        return (epsilon - (1 - signal).sqrt() * x) / signal.sqrt()

    def frames(model: Callable[..., Tensor], process: Process | None) -> Tensor:
        settings = {"shape": (2, 1, 8, 8), "spec": SPEC, "steps": 20, "keep": 21}
        drawn = sample(model, sampler=sampler, process=process, **settings)
        return torch.stack(drawn.frames)

    expected = frames(noise, None)
    torch.testing.assert_close(frames(velocity, process), expected, atol=2e-3, rtol=0)
    assert (frames(velocity, None) - expected).abs().max() > 0.1


def test_a_process_has_the_row_that_it_was_built_from() -> None:
    assert VELOCITY.build(SPEC, P2Weighting()).info is VELOCITY
    assert EPSILON.build(SPEC, P2Weighting()).info is EPSILON


def test_a_process_with_one_sampler_refuses_others_by_its_own_name() -> None:
    row = ProcessInfo(VelocityProcess, models="a model of velocities", sampler="ddpm")
    row.check_sampler(SPEC, "ddpm", 100)
    with pytest.raises(RequestError, match="a model of velocities is drawn from by the sampler"):
        row.check_sampler(SPEC, "ddim", 100)
    with pytest.raises(RequestError, match="by the sampler ddpm with all 100 timesteps"):
        STATES.check_sampler(SPEC, "ddpm", 99)
