"""The usual process: models predict the noise in an image."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.loss import check_weighting, denoising_loss
from qhybrid.diffusion.noise import NoiseSource, drawn_from
from qhybrid.diffusion.process import EPSILON, Draw, Process
from qhybrid.diffusion.samplers import check_sampler, sampling_scheduler
from qhybrid.diffusion.specs import LEARNED, P2Weighting, ScheduleSpec
from qhybrid.diffusion.variance import split


class EpsilonProcess(Process):
    """A weighted squared error in training, diffusers' schedulers in sampling."""

    info = EPSILON

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; see `Process`.

        Raises:
            RequestError: The weights of the loss cannot be computed with.
        """
        super().__init__(schedule, weighting, classes)
        check_weighting(self.scheduler.alphas_cumprod, weighting)

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the weighted squared error of the predicted noise.

        Models that predict variances too have the hybrid loss; see `denoising_loss`.
        """
        scheduler, weighting = self.scheduler, self.weighting
        return denoising_loss(model, images, scheduler, weighting, generator, noise_source)

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        """Return the noise in x that a prediction stands for; here it is its first channels.

        The others, if there are any, say the variances.
        """
        return split(predicted, x.shape[1])[0]

    def chain(self, model: Callable[..., Any], draw: Draw) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, (B, C, H, W), as the model is given it.

        Predicted variances are those of the sampler `ddpm`; no other one has a use for them.
        """
        learned = self.schedule.variance == LEARNED and check_sampler(draw.sampler).ancestral
        scheduler = sampling_scheduler(draw.sampler, self.schedule, draw.steps)
        streams, generators = draw.streams(), draw.generators
        noise = torch.cat([stream.normal((1, *draw.shape)) for stream in streams]).to(draw.device)
        visited: list[int] = scheduler.timesteps.tolist()
        x = noise * scheduler.init_noise_sigma
        given = scheduler.scale_model_input(x, visited[0])
        yield given
        for t, following in zip(visited, [*visited[1:], -1], strict=True):
            times = torch.full((len(x),), t, device=draw.device, dtype=torch.long)
            predicted = model(given, times).float()
            epsilon, (_, v) = self.epsilon(predicted, given, t), split(predicted, given.shape[1])
            if learned and v is not None:
                epsilon = torch.cat([epsilon, v], dim=1)  # as diffusers takes them
            with drawn_from(draw.noise, generators, streams):
                x = scheduler.step(epsilon, t, x, generator=generators, return_dict=False)[0]
            given = scheduler.scale_model_input(x, following)
            yield given
