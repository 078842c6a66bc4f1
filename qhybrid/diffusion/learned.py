"""The process of models that predict noise, on a schedule that is trained with the model."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.grey_levels import HALF_LEVEL, log_probability
from qhybrid.diffusion.learned_schedule import LearnedSchedule
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import Draw
from qhybrid.diffusion.schedules import NoiseScheduler, noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.torch_device import without_waiting
from qhybrid_circuits.errors import RequestError


class LearnedProcess(EpsilonProcess):
    """The variational bound in training; in sampling, the betas that the model's schedule has.

    A model has its schedule as the submodule `noise_levels`.
    """

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; see `Process`. `scheduler` has the betas that training begins with."""
        self._levels: LearnedSchedule | None = None
        begin = ScheduleSpec.of_betas(LearnedSchedule().betas(schedule.timesteps))
        super().__init__(begin, weighting, classes)
        self.schedule = schedule

    def bind(self, model: Any) -> None:
        """Take the schedule of a model, for losses of what is no such model."""
        self._levels = self.levels(model)

    def levels(self, model: Any) -> LearnedSchedule:
        """Return the schedule of a model.

        Raises:
            RequestError: It has none.
        """
        found = getattr(model, "noise_levels", self._levels)
        if not isinstance(found, LearnedSchedule):
            raise RequestError(
                "the schedule 'learned' is trained with the model, but this model has none; build "
                "it with ModelSpec(..., schedule='learned')"
            )
        return found

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the bound on the negative log-likelihood, in bits per dimension.

        In the backward pass the inside of the schedule gets the gradient of the mean square of the
        images' diffusion losses, and so of the variance of the bound, as Kingma et al. (2021) say
        in their appendix I; its two ends, and the model, get that of the bound itself. The length
        of the diffusion is finite, as in their section 4.
        """
        levels, count, size = self.levels(model), self.schedule.timesteps, images[0].numel()
        drawn = torch.randint(count, images.shape[:1], generator=generator, device=generator.device)
        timesteps = without_waiting(drawn, images.device)
        stream = noise_source.stream(generator)
        noise = without_waiting(stream.normal(images.shape, images.dtype), images.device)
        low, high = levels.limits()
        share = levels.share(torch.stack([timesteps, timesteps + 1]) / count)
        before, after = low + (high - low) * share
        noisy = _noised(images, noise, after)
        error = (model(noisy, timesteps).to(noise.dtype) - noise).square().flatten(1).sum(1)
        diffusion = count / 2 * torch.expm1(after - before) * error / (size * math.log(2))
        if share.requires_grad:
            share.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: 2 * diffusion.detach() * gradient
            )
        ends = prior_loss(images, high) + reconstruction_loss(noise, images, low)
        bound: Tensor = (diffusion + ends / (size * math.log(2))).mean()
        return bound

    def chain(self, model: Callable[..., Any], draw: Draw) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, by the levels of the model's schedule."""
        usual = EpsilonProcess(self._present(model), self.weighting, self.classes)
        return usual.chain(model, draw)

    def present_scheduler(self) -> NoiseScheduler:
        """Return what adds noise by the levels of the schedule of the model that is trained."""
        return noise_scheduler(self._present(None))

    def _present(self, model: Any) -> ScheduleSpec:
        return ScheduleSpec.of_betas(self.levels(model).betas(self.schedule.timesteps))


def _noised(images: Tensor, noise: Tensor, gamma: Tensor) -> Tensor:
    """Return alpha x + sigma noise of images (B, C, H, W) at gamma (B,)."""
    gamma = gamma.to(images.dtype).view(-1, *[1] * (images.ndim - 1))
    return (-gamma).sigmoid().sqrt() * images + gamma.sigmoid().sqrt() * noise


def prior_loss(images: Tensor, gamma: Tensor) -> Tensor:
    """Return KL(q(z_1 | x) || N(0, 1)) of each image (B, ...) in nats, at the last gamma, a scalar.

    Kingma et al. (2021), equation 11.
    """
    variance = gamma.sigmoid()
    per_pixel = (-gamma).sigmoid() * images.square() + variance - 1 - logsigmoid(gamma)
    return per_pixel.flatten(1).sum(1) / 2


def reconstruction_loss(noise: Tensor, images: Tensor, gamma: Tensor) -> Tensor:
    """Return -log p(x | z_0) of each image (B, ...) in nats, at the first gamma, a scalar.

    A pixel is one of 256 values, and has the probability that a normal distribution around z_0 /
    alpha gives to the values next to it, the outermost ones reaching to infinity (Ho et al. 2020,
    equation 13); z_0 = alpha x + sigma noise.
    """
    found = log_probability(images, -noise, HALF_LEVEL / (gamma / 2).exp())
    return -found.flatten(1).sum(1)
