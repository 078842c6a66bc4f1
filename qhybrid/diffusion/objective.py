"""What models are trained on: one loss for those that predict noise, one for those of states."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.schedules import NoiseScheduler, noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.diffusion.state_process import state_loss


class Objective(Protocol):
    """A loss of a batch of images."""

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return a scalar.

        Args:
            model: What is trained.
            images: (B, C, H, W) in [-1, 1].
            labels: Class of each, (B,), from 0.
            generator: Of all that is random.
            noise_source: Where the noise comes from.
        """


@dataclass(frozen=True)
class NoisePrediction:
    """`denoising_loss`, for models that predict epsilon; it does not use the classes."""

    scheduler: NoiseScheduler
    weighting: P2Weighting

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        return denoising_loss(
            model, images, self.scheduler, self.weighting, generator, noise_source
        )


@dataclass(frozen=True)
class StatePrediction:
    """`state_loss`, for models of states."""

    scheduler: NoiseScheduler

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        return state_loss(model, images, labels, self.scheduler, generator, noise_source)


def objective(schedule: ScheduleSpec, weighting: P2Weighting, *, states: bool) -> Objective:
    """Return what a model is trained on.

    Args:
        schedule: The noise of each timestep.
        weighting: The weight of each timestep; the infidelity has none.
        states: Whether the model is one of states, see `ModelSpec`.
    """
    scheduler = noise_scheduler(schedule)
    return StatePrediction(scheduler) if states else NoisePrediction(scheduler, weighting)
