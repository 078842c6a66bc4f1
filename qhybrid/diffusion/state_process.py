"""Diffusion of images as complex vectors, of which only the direction is predicted.

Jo et al. (2026) denoise amplitudes: x_0 is an image as a vector, noise is complex Gaussian, the
network is given x_t and predicts the normalized mean of the step before. A tensor (B, 2 * C, H, W)
holds a vector of d = C * H * W complex numbers: the real parts, then the imaginary parts.

The paper leaves lengths open. Here an image is scaled to length sqrt(d) and a component of the
noise has variance 1, half of it in each part: then x_t has length sqrt(d) as well, in the mean over
the noise and whatever the schedule, and no length needs to be known to sample.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from qhybrid.diffusion.noise import GaussianNoise, NoiseSource, NoiseStream
from qhybrid.diffusion.schedules import NoiseScheduler
from qhybrid.torch_device import without_waiting
from qhybrid_circuits.errors import RequestError

#: Phases that are tried before the best one is refined.
_PHASES = 64

#: The black of a state's image; amplitudes of a digit are mostly this.
_BLACK = -1.0


class Posterior(NamedTuple):
    """The normal distribution of x_(t-1), given x_t and x_0, for each time step t, all (T,).

    Attributes:
        image: Factor of x_0 in the mean.
        current: Factor of x_t in the mean.
        variance: Of a complex component.
    """

    image: Tensor
    current: Tensor
    variance: Tensor


def posterior(alphas_cumprod: Tensor) -> Posterior:
    """Return q(x_(t-1) | x_t, x_0) (Ho et al. 2020, equation 7) for alpha-bar (T,)."""
    before = torch.cat([alphas_cumprod.new_ones(1), alphas_cumprod[:-1]])
    alphas = alphas_cumprod / before
    betas, noise, noise_before = 1 - alphas, 1 - alphas_cumprod, 1 - before
    return Posterior(
        before.sqrt() * betas / noise,
        alphas.sqrt() * noise_before / noise,
        betas * noise_before / noise,
    )


def to_states(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) in [-1, 1] as real states (B, 2 * C, H, W) of length sqrt(d).

    Black is 0, so that the digit's strokes are what has amplitudes. An image that is all black has
    no direction and stays 0.
    """
    length = math.sqrt(images[0].numel())
    real = functional.normalize((images - _BLACK).flatten(1), dim=1) * length
    return torch.cat([real.view_as(images), torch.zeros_like(images)], dim=1)


def to_images(states: Tensor) -> Tensor:
    """Return states (B, 2 * C, H, W) as images (B, C, H, W) in [-1, 1], each with a white pixel.

    A pixel is the magnitude of its amplitude: the phase of all amplitudes together, and the length,
    mean nothing, and a person compares images by what is black and what is white in them.
    """
    real, imaginary = states.chunk(2, dim=1)
    magnitudes = torch.hypot(real, imaginary)
    largest = magnitudes.flatten(1).amax(1).clamp_min(torch.finfo(states.dtype).tiny)
    return magnitudes / largest[:, None, None, None] * 2 + _BLACK


def in_phase(means: Tensor, noisy: Tensor) -> Tensor:
    """Turn predicted means by the phases that leave the image in them real and not negative.

    The infidelity leaves a prediction's phase open, and it would be the next input's. The mean of
    x_(t-1) is a x_0 + b x_t with an x_0 that is real and adds up to a positive number. So the phase
    is the one for which the mean without b x_t has the least imaginary part, by squares, and such a
    sum.

    Args:
        means: Of the length that they should have, (B, 2 * C, H, W).
        noisy: b x_t, shaped as `means`.
    """
    u, v = (part.flatten(1).double() for part in means.chunk(2, dim=1))
    known_real, known = (part.flatten(1).double() for part in noisy.chunk(2, dim=1))
    # The squares are A sin^2 + 2 B sin cos + C cos^2 - 2 (P sin + Q cos), but for a constant.
    products = (u * u, u * v, v * v, known * u, known * v)
    a, b, c, p, q = (product.sum(1, keepdim=True) for product in products)
    angles = torch.arange(_PHASES, device=means.device) * (2 * math.pi / _PHASES)
    sine, cosine = angles.double().sin(), angles.double().cos()
    squares = a * sine**2 + 2 * b * sine * cosine + c * cosine**2 - 2 * (p * sine + q * cosine)
    sums = u.sum(1, keepdim=True) * cosine - v.sum(1, keepdim=True) * sine
    negative = sums < known_real.sum(1, keepdim=True)
    chosen = (squares + negative * (squares.abs().amax() * 4)).argmin(1)
    angle = angles.double()[chosen][:, None]
    for _ in range(3):
        sine, cosine = angle.sin(), angle.cos()
        slope = (
            (a - c) * (2 * angle).sin() + 2 * b * (2 * angle).cos() - 2 * (p * cosine - q * sine)
        )
        bend = 2 * (a - c) * (2 * angle).cos() - 4 * b * (2 * angle).sin()
        bend = bend + 2 * (p * sine + q * cosine)
        angle = angle - torch.where(bend > 0, slope / bend, 0.0).clamp(-0.1, 0.1)
    sine, cosine = (part.to(means.dtype)[:, :, None, None] for part in (angle.sin(), angle.cos()))
    real, imaginary = means.chunk(2, dim=1)
    return torch.cat([real * cosine - imaginary * sine, imaginary * cosine + real * sine], dim=1)


def infidelity(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - |<first|second>|^2 for states (B, 2 * C, H, W) of length 1, shape (B,)."""
    real, imaginary = (part.flatten(1) for part in first.chunk(2, dim=1))
    other_real, other_imaginary = (part.flatten(1) for part in second.chunk(2, dim=1))
    overlap_real = (real * other_real + imaginary * other_imaginary).sum(1)
    overlap_imaginary = (real * other_imaginary - imaginary * other_real).sum(1)
    return 1 - overlap_real.square() - overlap_imaginary.square()


def complex_noise(stream: NoiseStream, shape: Sequence[int]) -> Tensor:
    """Return complex Gaussian noise as a tensor (B, 2 * C, H, W), of variance 1/2 in each part."""
    return stream.normal(shape) * math.sqrt(0.5)


def state_loss(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    scheduler: NoiseScheduler,
    generator: torch.Generator,
    noise_source: NoiseSource | None = None,
) -> Tensor:
    """Noise each image to all T timesteps and score the predicted means by their infidelity.

    Args:
        model: Predicts states of length 1 from x_t (B, 2 * C, H, W), t (B,) and classes (B,).
        images: (B, C, H, W) in [-1, 1].
        labels: Class of each image, (B,), from 0.
        scheduler: From `noise_scheduler`.
        generator: Draws the noise, on its own device.
        noise_source: Where the noise comes from; the generator itself if omitted.

    Returns:
        The mean over images and timesteps, a scalar.
    """
    steps = int(scheduler.config.num_train_timesteps)
    states = to_states(images).repeat(steps, 1, 1, 1)
    times = torch.arange(steps, device=images.device).repeat_interleave(len(images))
    stream = (noise_source or GaussianNoise()).stream(generator)
    noise = without_waiting(complex_noise(stream, states.shape), states.device).to(states.dtype)
    noisy = scheduler.add_noise(states, noise, times)
    to_image, to_current, _ = posterior(scheduler.alphas_cumprod.to(images.device))
    mean = to_image[times, None, None, None] * states + to_current[times, None, None, None] * noisy
    target = functional.normalize(mean.flatten(1), dim=1).view_as(mean)
    return infidelity(model(noisy, times, labels.repeat(steps)).float(), target).mean()


def check_not_black(pixels: Tensor) -> None:
    """Refuse images (N, H, W, C) of bytes of which one is all black, a vector of zeros.

    Raises:
        RequestError: There is such an image.
    """
    black = (pixels.flatten(1).amax(1) == 0).nonzero()
    if len(black):
        raise RequestError(
            f"a model of states normalizes images as vectors, but image {int(black[0])} is black "
            f"all over, {len(black)} in all: a vector of zeros has no direction; leave such images "
            "out, or choose another --model"
        )
