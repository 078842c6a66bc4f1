"""The process in continuous time: denoising score matching on an SDE."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.loss import p2_weights
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.sde import sde_of
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.torch_device import without_waiting


class ScoreProcess(EpsilonProcess):
    """Score matching at all times in training, samplers on a grid of T times.

    Models predict the noise; the score of p_t is -noise / s(t). They are told the time as in
    discrete time, 0 to T - 1, so that weights of the one kind can go on as the other.

    Attributes:
        sde: What is solved.
    """

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; see `Process`.

        Raises:
            RequestError: The weights of the loss cannot be computed with.
        """
        super().__init__(schedule, weighting, classes)
        self.sde = sde_of(schedule)

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the weighted squared error of the score at uniformly drawn times.

        E lambda(t) |score(x_t, t) - grad log p(x_t | x_0)|^2 (Song et al. 2021, equation 7), a mean
        over pixels, is E w(t) |predicted - noise|^2 with w = lambda / s^2: the P2 weights, or
        g^2 / s^2 for the likelihood.
        """
        places = torch.rand(len(images), generator=generator, device=generator.device)
        # In (0, 1]: the end is drawn from, and no image is without noise.
        places = 1 - places
        stream, device = noise_source.stream(generator), images.device
        noise = without_waiting(stream.normal(images.shape, images.dtype), device)
        levels = self.sde.alpha_bar(self.sde.time(places)).to(images.dtype)[:, None, None, None]
        levels = without_waiting(levels, device)
        noisy = levels.sqrt() * images + (1 - levels).sqrt() * noise
        told = without_waiting((places * (self.schedule.timesteps - 1)).float(), device)
        error = (model(noisy, told).float() - noise.float()).square().flatten(1).mean(1)
        weighted: Tensor = without_waiting(self.weights(places).to(error.dtype), device) * error
        return weighted.mean()

    def weights(self, places: Tensor) -> Tensor:
        """Return w = lambda / s^2 of times between the first, 0, and the last, 1, any shape."""
        t = self.sde.time(places)
        if not self.weighting.likelihood:
            return p2_weights(self.sde.alpha_bar(t), self.weighting)
        return (self.sde.diffusion(t) / self.sde.noise(t)).square()
