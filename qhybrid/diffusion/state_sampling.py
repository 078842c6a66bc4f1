"""The process of models of states: images as complex vectors, drawn in every timestep."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import STATES, Draw, Process
from qhybrid.diffusion.state_process import (
    check_not_black,
    complex_noise,
    in_phase,
    posterior,
    state_loss,
    to_images,
)


class StateProcess(Process):
    """The infidelity in training; in sampling every timestep, with the noise that belongs to it.

    The model gives the direction of the mean of x_(t-1). Its length is sqrt(d (1 - variance)): the
    length of x_(t-1) is sqrt(d) in the mean, see `state_process`, and the noise has the rest of it.
    In 256 dimensions lengths differ from that by some percent.

    Image i is of class i modulo the number of classes; a model that is told none is given class 0.
    The infidelity has no weights.
    """

    info = STATES

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the infidelity of the predicted means, over all timesteps."""
        return state_loss(model, images, labels, self.scheduler, generator, noise_source)

    def check_images(self, pixels: Tensor) -> None:
        """Refuse images that are all black, a vector of zeros."""
        check_not_black(pixels)

    def labels(self, indices: range) -> Tensor | None:
        """Return the class of each image, (B,); None where the model is told none."""
        if self.classes is None:
            return None
        return torch.arange(indices.start, indices.stop) % self.classes

    def chain(self, model: Callable[..., Any], draw: Draw) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, as images (B, C, H, W) in [-1, 1].

        `model` predicts states of length 1 from x_t, t (B,) and classes (B,).
        """
        streams, (channels, height, width) = draw.streams(), draw.shape
        one = (1, self.info.planes * channels, height, width)

        def drawn() -> Tensor:
            return torch.cat([complex_noise(stream, one) for stream in streams]).to(draw.device)

        labels = self.labels(draw.indices)
        if labels is None:
            labels = torch.zeros(len(draw.indices), dtype=torch.int64)
        labels = labels.to(draw.device)
        _, to_current, variance = posterior(self.scheduler.alphas_cumprod)
        x = drawn()
        yield to_images(x)
        for t in reversed(range(self.schedule.timesteps)):
            times = torch.full_like(labels, t)
            rest = float(variance[t])
            length = math.sqrt(channels * height * width * (1 - rest))
            x = in_phase(model(x, times, labels).float() * length, float(to_current[t]) * x)
            if t:
                x = x + math.sqrt(rest) * drawn()
            yield to_images(x)
