import itertools

import pytest
import torch

from qhybrid.diffusion.samplers import (
    IMAGE_SAMPLERS,
    SAMPLERS,
    sampler_steps,
    sampling_scheduler,
    trailing_timesteps,
)
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid_circuits.errors import RequestError, UnknownNameError

_SPEC = ScheduleSpec()


def test_timesteps_start_at_the_noisiest_and_never_repeat() -> None:
    for steps in range(1, 1001):
        timesteps = trailing_timesteps(_SPEC, steps)
        assert len(timesteps) == steps
        assert timesteps[0] == 999
        assert timesteps[-1] >= 0
        assert all(a > b for a, b in itertools.pairwise(timesteps))
    assert trailing_timesteps(_SPEC, 1000) == list(range(999, -1, -1))
    assert trailing_timesteps(_SPEC, 4) == [999, 749, 499, 249]


@pytest.mark.parametrize("name", IMAGE_SAMPLERS)
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_samplers_share_the_betas_of_training(name: str, schedule: str) -> None:
    spec = ScheduleSpec(schedule, timesteps=200)
    scheduler = sampling_scheduler(name, spec, 7)
    assert torch.equal(scheduler.alphas_cumprod, noise_scheduler(spec).alphas_cumprod)
    visited = scheduler.timesteps.tolist()
    if SAMPLERS[name].evaluations == 1:
        assert visited == trailing_timesteps(spec, 7)
    assert len(visited) == 7


def test_default_steps() -> None:
    steps = [sampler_steps(name, _SPEC) for name in SAMPLERS]
    assert steps == [1000, 50, 20, 20, 200, 200, 50, 21]
    assert sampler_steps("ddim", ScheduleSpec(timesteps=10)) == 10
    assert sampler_steps("ddim", _SPEC, 7) == 7


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range(steps: int) -> None:
    with pytest.raises(RequestError, match="between 1 and the 1000 timesteps"):
        sampler_steps("ddpm", _SPEC, steps)


def test_unknown_sampler() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*dpm\+\+"):
        sampler_steps("dpm", _SPEC)
    with pytest.raises(UnknownNameError):
        sampling_scheduler("euler", _SPEC, 5)
