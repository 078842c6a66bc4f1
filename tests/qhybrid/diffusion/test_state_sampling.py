import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.diffusion.state_process import in_phase, posterior, to_states
from qhybrid.diffusion.state_sampling import StateProcess
from qhybrid_circuits.errors import RequestError

SPEC = ScheduleSpec("cosine", 10)
STATES = StateProcess(SPEC, P2Weighting(), 2)
SHAPE = (1, 8, 8)


class Knowing:
    """Predicts the direction of the posterior mean for one image a class, in its own phase."""

    def __init__(self, images: torch.Tensor, phase: float = 0.0) -> None:
        self.states, self.phase = to_states(images), phase
        self.to_image, self.to_current, _ = posterior(noise_scheduler(SPEC).alphas_cumprod)
        self.asked: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def __call__(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.asked.append((x, t, labels))
        mean = self.to_image[t, None, None, None] * self.states[labels]
        mean = mean + self.to_current[t, None, None, None] * x
        real, imaginary = functional.normalize(mean.flatten(1), dim=1).view_as(x).chunk(2, dim=1)
        turned = torch.complex(real, imaginary) * complex(
            math.cos(self.phase), math.sin(self.phase)
        )
        return torch.cat([turned.real, turned.imag], dim=1)


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    drawn = 2 * torch.rand(2, *SHAPE, generator=generator) - 1
    drawn[:, 0, 0, 0] = 1
    return drawn


def drawn(model: Knowing, count: int = 4, **options: object) -> torch.Tensor:
    settings = {"shape": (count, *SHAPE), "spec": SPEC, "sampler": "ddpm", "process": STATES}
    return sample(model, **{**settings, **options}).images


@pytest.mark.parametrize("phase", [0.0, 0.7, math.pi, -1.9])
def test_a_model_that_knows_the_images_draws_them_in_turn(
    images: torch.Tensor, phase: float
) -> None:
    """Whatever the phase of its predictions."""
    model = Knowing(images, phase)
    result = sample(
        model, shape=(5, *SHAPE), spec=SPEC, sampler="ddpm", process=STATES, first_index=1, keep=4
    )
    assert result.labels.tolist() == [1, 0, 1, 0, 1]
    torch.testing.assert_close(result.images, images[result.labels], atol=1e-4, rtol=0)
    assert [int(t[0]) for _, t, _ in model.asked] == list(range(9, -1, -1))
    assert len(result.frames) == 4
    assert all(frame.shape == (5, *SHAPE) for frame in result.frames)
    assert all(frame.min() >= -1 and frame.max() <= 1 for frame in result.frames)
    assert torch.equal(result.frames[-1], result.images)


def test_each_step_has_the_variance_and_length_of_the_posterior(images: torch.Tensor) -> None:
    """Many chains of one image: what is added to the mean is complex noise of its variance."""
    model = Knowing(images[:1])
    count, size = 256, 64
    drawn(model, count, process=StateProcess(SPEC, P2Weighting(), 1))
    _, to_current, variances = posterior(noise_scheduler(SPEC).alphas_cumprod)
    asked = list(model.asked)
    assert [len(x) for x, _, _ in asked] == [count] * 10
    for (x, t, labels), (after, _, _) in pairwise(asked):
        variance = float(variances[t[0]])
        mean = model(x, t, labels) * (size * (1 - variance)) ** 0.5
        mean = in_phase(mean, float(to_current[t[0]]) * x)
        added = after - mean
        assert added.square().mean() == pytest.approx(variance / 2, rel=0.05)
        assert after.square().sum() / count == pytest.approx(size, rel=0.05)


def test_an_image_has_its_own_noise(images: torch.Tensor) -> None:
    torch.manual_seed(5)
    few = drawn(Knowing(images), 2)
    many = drawn(Knowing(images), 6, batch_size=2)
    first = sample(Knowing(images), shape=(2, *SHAPE), spec=SPEC, sampler="ddpm", process=STATES)
    assert torch.equal(few, first.images)
    torch.testing.assert_close(many[:2], few)
    noises = [Knowing(images), Knowing(images), Knowing(images)]
    for model, seed in zip(noises, (0, 0, 1), strict=True):
        drawn(model, 2, seed=seed)
    assert torch.equal(noises[0].asked[0][0], noises[1].asked[0][0])
    assert not torch.equal(noises[0].asked[0][0], noises[2].asked[0][0])
    assert not torch.equal(noises[0].asked[0][0][0], noises[0].asked[0][0][1])


@pytest.mark.parametrize("options", [{"sampler": "ddim", "steps": 10}, {"steps": 5}])
def test_other_samplers_and_fewer_steps_are_refused(
    images: torch.Tensor, options: dict[str, object]
) -> None:
    with pytest.raises(RequestError, match="by the sampler ddpm with all 10 timesteps"):
        drawn(Knowing(images), **options)
