"""What models are trained on: one loss for those that predict noise, one for those of states."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.schedules import NoiseScheduler, noise_scheduler
from qhybrid.diffusion.state_process import state_loss
from qhybrid.settings.specs import P2Weighting, ScheduleSpec


@dataclass(frozen=True)
class Objective:
    """A loss of a batch of images.

    Attributes:
        scheduler: The noise of each timestep.
        weighting: The weight of each timestep in `denoising_loss`; None for models of states, whose
            loss is `state_loss`.
    """

    scheduler: NoiseScheduler
    weighting: P2Weighting | None

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
            labels: Class of each, (B,), from 0; for models of states alone.
            generator: Of all that is random.
            noise_source: Where the noise comes from.
        """
        if self.weighting is None:
            return state_loss(model, images, labels, self.scheduler, generator, noise_source)
        return denoising_loss(
            model, images, self.scheduler, self.weighting, generator, noise_source
        )


def objective(schedule: ScheduleSpec, weighting: P2Weighting, *, states: bool) -> Objective:
    """Return what a model is trained on.

    Args:
        schedule: The noise of each timestep.
        weighting: The weight of each timestep; the infidelity has none.
        states: Whether the model is one of states, see `ModelSpec`.
    """
    return Objective(noise_scheduler(schedule), None if states else weighting)
