"""The process of models of latents: EDM (Karras et al. 2022) in the space of an autoencoder."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from qhybrid.diffusion.autoencoder import Autoencoder
from qhybrid.diffusion.edm import edm_scheduler, preconditioning
from qhybrid.diffusion.images import save_grid
from qhybrid.diffusion.noise import NoiseSource, drawn_from
from qhybrid.diffusion.process import LATENT, Draw, Preparation, Process
from qhybrid.torch_device import without_waiting

MEAN_LOG_SIGMA, STD_LOG_SIGMA = -0.6, 1.2
"""Of the normal distribution of ln(sigma) in training.

Karras et al. have a mean of -1.2 for data with a standard deviation of 0.5; latents have 1.
"""

PICTURE_IMAGES, PICTURE_COLUMNS = 48, 16
"""On the picture of the reconstructions, whose rows are originals and what becomes of them."""


class LatentProcess(Process):
    """Models predict F from noisy latents (B, d), c_noise (B,) and classes (B,), if they have any.

    A model has an `autoencoder`, which `prepare` trains first, on the images alone; the latents
    are then what is noised, each of mean 0 and standard deviation 1 over the training images.
    """

    info = LATENT

    def loss(
        self,
        model: Any,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        """Return the squared error of F, whose target has variance 1 at every noise level.

        Karras et al. (2022), equation 8 with lambda = 1 / c_out^2; `images` are latents (B, d).
        """
        drawn = torch.randn(len(images), 1, generator=generator, device=generator.device)
        sigma = without_waiting((MEAN_LOG_SIGMA + STD_LOG_SIGMA * drawn).exp(), images.device)
        stream = noise_source.stream(generator)
        noise = without_waiting(stream.normal(images.shape, images.dtype), images.device)
        noisy = images + sigma * noise
        skip, output, scale, time = preconditioning(sigma)
        predicted = model(scale * noisy, time[:, 0], labels).float()
        error: Tensor = predicted - (images - skip * noisy) / output
        return error.square().mean()

    def prepare(self, model: Any, preparation: Preparation) -> "LatentDataset":
        """Train the autoencoder, unless it is trained already, and return the latents."""
        autoencoder: Autoencoder = model.autoencoder
        images, count = preparation.images, len(preparation.labels)
        if not autoencoder.is_trained:
            seed, on_step = preparation.seed, preparation.on_step
            autoencoder.fit(images, count, seed=seed, on_step=on_step)
        latents = autoencoder.encode_all(images, count)
        shown = torch.arange(0, count, max(1, count // PICTURE_IMAGES))[:PICTURE_IMAGES]
        device = autoencoder.mean.device
        with torch.no_grad():
            decoded = autoencoder.decode(latents[shown].to(device)).cpu()
        originals = images(shown)
        save_grid(pairs(originals, decoded), preparation.picture, columns=PICTURE_COLUMNS)
        error = float((decoded - originals).square().mean().sqrt()) / 2
        preparation.tell(
            f"{autoencoder.latents} an image; pixels that are made of them are off by {error:.1%} "
            f"of the range from black to white (root mean square), see {preparation.picture}"
        )
        return LatentDataset(latents, preparation.labels)

    def encode(self, model: Any, images: Tensor) -> Tensor:
        """Return the latents (B, d) of images."""
        latents: Tensor = model.autoencoder.encode(images)
        return latents

    def labels(self, indices: range) -> Tensor | None:
        """Return the class of each image, (B,): i modulo their number, where there are any."""
        if self.classes is None:
            return None
        return torch.arange(indices.start, indices.stop) % self.classes

    def times(self, sampler: str, steps: int) -> list[float]:
        """Return c_noise of each evaluation of the model."""
        times: list[float] = edm_scheduler(sampler, steps).timesteps.tolist()
        return times

    def chain(self, model: Any, draw: Draw) -> Iterator[Tensor]:
        """Yield pure noise, then x after each step, as latents (B, d) scaled to variance 1."""
        scheduler = edm_scheduler(draw.sampler, draw.steps)
        streams, generators = draw.streams(), draw.generators
        one = (1, model.autoencoder.latents)
        noise = torch.cat([stream.normal(one) for stream in streams]).to(draw.device)
        labels = self.labels(draw.indices)
        told = () if labels is None else (labels.to(draw.device),)
        x = noise * scheduler.init_noise_sigma
        yield noise
        for t, after in zip(scheduler.timesteps.tolist(), scheduler.sigmas[1:], strict=True):
            times = torch.full((len(x),), t, device=draw.device)
            predicted = model(scheduler.scale_model_input(x, t), times, *told).float()
            with drawn_from(draw.noise, generators, streams):
                x = scheduler.step(predicted, t, x, generator=generators, return_dict=False)[0]
            yield scheduler.precondition_inputs(x, after)

    def images(self, model: Any, x: Tensor) -> Tensor:
        """Return what latents (B, d) are the latents of, (B, C, H, W)."""
        images: Tensor = model.autoencoder.decode(x)
        return images


class LatentDataset(Dataset[tuple[Tensor, int]]):
    """The latents of all training images, which need not be encoded again for every batch."""

    def __init__(self, latents: Tensor, labels: Tensor) -> None:
        """Keep latents (N, d) and labels (N,)."""
        self.latents, self.labels = latents, labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.latents)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the latents (d,) of an image and its label."""
        return self.latents[index], int(self.labels[index])

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        """Return those of a batch, by which torch's loader asks for them all at once."""
        return list(zip(self.latents[indices].unbind(), self.labels[indices].tolist(), strict=True))


def pairs(originals: Tensor, decoded: Tensor) -> Tensor:
    """Return images (N, C, H, W) and their reconstructions in rows that alternate."""
    split = (torch.split(images, PICTURE_COLUMNS) for images in (originals, decoded))
    rows = zip(*split, strict=True)
    return torch.cat([images for row in rows for images in row])
