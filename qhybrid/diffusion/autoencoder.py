"""A small autoencoder: images to a few latents and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

WIDTH, HIDDEN = 32, 256
"""Channels of the first convolution, half of those of the second; units between it and latents."""

STEPS, BATCH, RATE = 1000, 128, 2e-3

JITTER = 0.07
"""Standard deviation of the noise that the decoder is trained to bear, of latents with 1.

Without it latents lie on thin sheets, and what a denoiser leaves between them is no image.
"""

_ENCODED_TOGETHER = 1024

#: Keeps latents finite of images that are all the same.
_LEAST_STD = 1e-3

Images = Callable[[Tensor], Tensor]
"""Returns the images (B, C, H, W) in [-1, 1] of their numbers (B,)."""


class Autoencoder(nn.Module):
    """Two convolutions and two linear layers to latents of mean 0 and variance 1, and back.

    Its weights are not parameters that an optimizer of the whole model would train: `fit` does.

    Attributes:
        latents: Their number.
        mean: Of what the encoder gives, over the training images, (latents,).
        std: Its standard deviation likewise; 0 before the training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, image_size: int, channels: int, latents: int) -> None:
        """Build for images (B, channels, image_size, image_size) of a size that 4 divides."""
        super().__init__()
        self.latents, side = latents, image_size // 4
        wide = 2 * WIDTH * side**2
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(wide, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, latents),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latents, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, wide),
            nn.SiLU(),
            nn.Unflatten(1, (2 * WIDTH, side, side)),
            nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(WIDTH, channels, 4, 2, 1),
            nn.Tanh(),
        )
        self.register_buffer("mean", torch.zeros(latents))
        self.register_buffer("std", torch.zeros(latents))
        self.requires_grad_(False)

    @property
    def is_trained(self) -> bool:
        """Whether it was fitted to images."""
        return bool(self.std.any())

    def encode(self, images: Tensor) -> Tensor:
        """Return latents (B, latents) of images (B, C, H, W) in [-1, 1]."""
        encoded: Tensor = self.encoder(images)
        return (encoded - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] of latents (B, latents)."""
        images: Tensor = self.decoder(latents)
        return images

    def fit(
        self, images: Images, count: int, *, seed: int, on_step: Callable[[int, int], None]
    ) -> None:
        """Train on images, so that decoded latents have the least squared error.

        Adam on a one-cycle schedule (Smith and Topin 2018).

        Args:
            images: What latents are to be of.
            count: Number of images.
            seed: Of the order of the images and of the noise.
            on_step: Called as on_step(done, total) after each step.
        """
        generator, like = torch.Generator().manual_seed(seed), self.mean
        optimizer = torch.optim.Adam(self.parameters(), RATE)
        schedule = OneCycleLR(optimizer, RATE, total_steps=STEPS)
        with _trainable(self):
            for step in range(STEPS):
                batch = images(torch.randint(count, (BATCH,), generator=generator)).to(like)
                encoded = self.encoder(batch)
                latents = (encoded - encoded.mean(0)) / (encoded.std(0) + _LEAST_STD)
                noise = torch.randn(latents.shape, generator=generator).to(like)
                error = self.decoder(latents + JITTER * noise) - batch
                optimizer.zero_grad()
                torch.autograd.backward(error.square().flatten(1).sum(1).mean())
                optimizer.step()
                schedule.step()
                on_step(step + 1, STEPS)
        self.mean.zero_()
        self.std.fill_(1)
        raw = self.encode_all(images, count)
        self.mean.copy_(raw.mean(0))
        self.std.copy_(raw.std(0) + _LEAST_STD)

    @torch.no_grad()
    def encode_all(self, images: Images, count: int) -> Tensor:
        """Return the latents of all images, (count, latents), on the CPU."""
        parts = torch.split(torch.arange(count), _ENCODED_TOGETHER)
        return torch.cat([self.encode(images(part).to(self.mean)).cpu() for part in parts])


@contextmanager
def _trainable(module: nn.Module) -> Iterator[None]:
    module.requires_grad_(True)
    try:
        yield
    finally:
        module.requires_grad_(False)
        # The optimizer of the whole model would take another step by gradients that are left.
        module.zero_grad()
