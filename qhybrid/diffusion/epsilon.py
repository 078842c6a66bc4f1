"""The usual process: models predict the noise in an image."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.noise import NoiseSource, drawn_from
from qhybrid.diffusion.process import EPSILON, Process
from qhybrid.diffusion.samplers import sampling_scheduler
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec


class EpsilonProcess(Process):
    """A weighted squared error in training, diffusers' schedulers in sampling."""

    info = EPSILON

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; `classes` means nothing here."""
        super().__init__(schedule, weighting, classes)
        self.scheduler = noise_scheduler(schedule)

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the weighted squared error of the predicted noise."""
        return denoising_loss(
            model, images, self.scheduler, self.weighting, generator, noise_source
        )

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        """Return the noise in x that a prediction stands for; here it is the noise itself."""
        return predicted

    def chain(
        self,
        model: Callable[..., Any],
        *,
        sampler: str,
        steps: int,
        indices: range,
        shape: tuple[int, int, int],
        generators: list[torch.Generator],
        device: torch.device,
        noise: NoiseSource,
    ) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, (B, C, H, W)."""
        scheduler = sampling_scheduler(sampler, self.schedule, steps)
        streams = [noise.stream(generator) for generator in generators]
        x = torch.cat([stream.normal((1, *shape)) for stream in streams]).to(device)
        yield x
        for t in scheduler.timesteps.tolist():
            times = torch.full((len(indices),), t, device=device, dtype=torch.long)
            epsilon = self.epsilon(model(x, times).float(), x, t)
            with drawn_from(noise, generators, streams):
                x = scheduler.step(epsilon, t, x, generator=generators, return_dict=False)[0]
            yield x
