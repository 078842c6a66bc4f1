"""Drawing images from a trained model of states."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.state_process import complex_noise, in_phase, posterior, to_images
from qhybrid.settings.specs import ScheduleSpec


@dataclass(frozen=True)
class StateSampling:
    """Ancestral sampling of states: every time step, with the noise that belongs to it.

    The model gives the direction of the mean of x_(t-1). Its length is sqrt(d (1 - variance)): the
    length of x_(t-1) is sqrt(d) in the mean, see `state_process`, and the noise has the rest of it.
    In 256 dimensions lengths differ from that by some percent.

    Attributes:
        schedule: What the model was trained with.
        classes: How many there are; image i is of class i modulo this.
    """

    schedule: ScheduleSpec
    classes: int

    def labels(self, first: int, count: int) -> Tensor:
        """Classes of the images from index `first` on, (count,)."""
        return torch.arange(first, first + count) % self.classes

    def images(
        self,
        model: Callable[[Tensor, Tensor, Tensor], Tensor],
        first: int,
        shape: tuple[int, ...],
        generators: Sequence[torch.Generator],
        device: torch.device,
        noise: NoiseSource,
    ) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, as images (B, C, H, W) in [-1, 1].

        Args:
            model: Predicts states of length 1 from x_t, t (B,) and classes (B,).
            first: Index of the first image.
            shape: (B, C, H, W).
            generators: One for each image.
            device: Where the model is.
            noise: Where noise comes from.
        """
        count, channels, height, width = shape
        labels = self.labels(first, count).to(device)
        streams = [noise.stream(generator) for generator in generators]
        one = (1, 2 * channels, height, width)

        def drawn() -> Tensor:
            return torch.cat([complex_noise(stream, one) for stream in streams]).to(device)

        for x in self._chain(model, labels, channels * height * width, drawn):
            yield to_images(x)

    def _chain(
        self,
        model: Callable[[Tensor, Tensor, Tensor], Tensor],
        labels: Tensor,
        amplitudes: int,
        noise: Callable[[], Tensor],
    ) -> Iterator[Tensor]:
        _, to_current, variance = posterior(noise_scheduler(self.schedule).alphas_cumprod)
        x = noise()
        yield x
        for t in reversed(range(self.schedule.timesteps)):
            times = torch.full_like(labels, t)
            rest = float(variance[t])
            mean = model(x, times, labels).float() * math.sqrt(amplitudes * (1 - rest))
            x = in_phase(mean, float(to_current[t]) * x)
            if t:
                x = x + math.sqrt(rest) * noise()
            yield x
