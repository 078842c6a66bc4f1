"""The training objective: weighted squared error of the predicted noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from qhybrid.diffusion.noise import GaussianNoise, NoiseSource
from qhybrid.diffusion.schedules import NoiseScheduler
from qhybrid.diffusion.specs import P2Weighting
from qhybrid.diffusion.variance import BOUND_WEIGHT, bound, split
from qhybrid.torch_device import without_waiting
from qhybrid_circuits.errors import RequestError

__all__ = ["P2Weighting", "check_weighting", "denoising_loss", "p2_weights"]


def p2_weights(alphas_cumprod: Tensor, weighting: P2Weighting) -> Tensor:
    """Return (k + SNR)^-gamma with SNR = alpha-bar / (1 - alpha-bar).

    Args:
        alphas_cumprod: alpha-bar, any shape, in (0, 1).
        weighting: k and gamma.

    Example:
        >>> import torch
        >>> from qhybrid.diffusion.loss import P2Weighting, p2_weights
        >>> p2_weights(torch.tensor([0.5]), P2Weighting(k=1, gamma=1)).tolist()
        [0.5]
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return (weighting.k + snr) ** -weighting.gamma


def check_weighting(alphas_cumprod: Tensor, weighting: P2Weighting) -> None:
    """Refuse weights that are not numbers above 0 at every timestep, in the precision of a loss.

    Args:
        alphas_cumprod: alpha-bar of each timestep, shape (T,).
        weighting: The weights.

    Raises:
        RequestError: One is too small or too large to be told from 0 or infinity.

    Example:
        >>> import torch
        >>> from qhybrid.diffusion.loss import P2Weighting, check_weighting
        >>> check_weighting(torch.tensor([0.5]), P2Weighting(k=1, gamma=1))
    """
    weights = p2_weights(alphas_cumprod, weighting)
    useless = (~((weights > 0) & weights.isfinite())).nonzero()
    if len(useless):
        t = int(useless[0])
        raise RequestError(
            f"diffusion.p2_k={weighting.k:g} and p2_gamma={weighting.gamma:g} give the loss of "
            f"timestep {t} the weight {float(weights[t]):g}, with which nothing can be learned; "
            f"use a smaller diffusion.p2_gamma, e.g. {P2Weighting.gamma}"
        )


def denoising_loss(
    model: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    scheduler: NoiseScheduler,
    weighting: P2Weighting,
    generator: torch.Generator,
    noise_source: NoiseSource | None = None,
) -> Tensor:
    """Noise the images to uniformly drawn timesteps and score the predicted noise.

    Args:
        model: Predicts epsilon (B, C, H, W) from x_t and t (B,); or (B, 2 C, H, W), epsilon and
            variances, see `qhybrid.diffusion.variance`.
        images: (B, C, H, W) in [-1, 1].
        scheduler: From `noise_scheduler`.
        weighting: The weight of each timestep.
        generator: Draws timesteps and noise, on its own device: a CPU generator gives the same
            loss on every device.
        noise_source: Where the noise comes from; the generator itself if omitted.

    Returns:
        The mean over the batch of weight times squared error, itself a mean over pixels; a scalar.
        For a model that predicts variances, plus 0.001 times the variational bound, in bits per
        value (Nichol and Dhariwal 2021, equation 16), which has no weight of the timestep.

    Example:
        >>> import torch
        >>> from qhybrid.diffusion.loss import P2Weighting, denoising_loss
        >>> from qhybrid.diffusion.schedules import ScheduleSpec, noise_scheduler
        >>> images, generator = torch.zeros(4, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> scheduler = noise_scheduler(ScheduleSpec("cosine", 1000))
        >>> zeros, weighting = lambda x, t: torch.zeros_like(x), P2Weighting(gamma=0)
        >>> 0.8 < denoising_loss(zeros, images, scheduler, weighting, generator).item() < 1.2
        True
    """
    count, drawn_on = scheduler.config.num_train_timesteps, generator.device
    drawn = torch.randint(count, images.shape[:1], generator=generator, device=drawn_on)
    timesteps = without_waiting(drawn, images.device)
    stream = (noise_source or GaussianNoise()).stream(generator)
    noise = without_waiting(stream.normal(images.shape, images.dtype), images.device)
    noisy = scheduler.add_noise(images, noise, timesteps)
    # Under autocast the prediction is bf16, too coarse to be squared and averaged.
    epsilon, v = split(model(noisy, timesteps).float(), images.shape[1])
    error = (epsilon - noise.float()).square().flatten(1).mean(1)
    alphas_cumprod = scheduler.alphas_cumprod.to(images.device)[timesteps]
    simple: Tensor = (p2_weights(alphas_cumprod, weighting) * error).mean()
    if v is None:
        return simple
    # The bound is a sum over timesteps, of which each image has a random one.
    terms = bound(epsilon, v, images.float(), noise.float(), timesteps, scheduler)
    hybrid: Tensor = simple + BOUND_WEIGHT * count * terms.mean()
    return hybrid
