"""Learned variances of the reverse process (Nichol and Dhariwal 2021, "Improved DDPM").

A model that learns them has twice as many outputs: the noise in x_t, then a number v for each value
that says where the variance is between that of the posterior, v = -1, and beta_t, v = 1.
"""

import math

import torch
from torch import Tensor

from qhybrid.diffusion.grey_levels import HALF_LEVEL, log_probability
from qhybrid.diffusion.schedules import NoiseScheduler

BOUND_WEIGHT = 1e-3
"""Lambda of their equation 16: the share of the variational bound in the loss."""


def split(predicted: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """Return the predicted noise (B, channels, ...), and v likewise where the model has it."""
    if predicted.shape[1] == channels:
        return predicted, None
    return predicted[:, :channels], predicted[:, channels:]


def log_variances(v: Tensor, timesteps: Tensor, scheduler: NoiseScheduler) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the variances of model and posterior, for t (B,) and v (B, ...).

    That of the model is their equation 15, in logarithms, with (v + 1) / 2 for their v. The
    posterior's variance vanishes at the first timestep, where it is replaced by the next one's.
    """
    beta, _, posterior = (_like(each, timesteps, v) for each in _levels(scheduler))
    share = (v + 1) / 2
    return share * beta.log() + (1 - share) * posterior.log(), posterior.log()


def bound(
    epsilon: Tensor,
    v: Tensor,
    images: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    scheduler: NoiseScheduler,
) -> Tensor:
    """Return the term of the variational bound at each image's timestep, (B,), in bits per value.

    It is the divergence KL(q(x_(t-1) | x_t, x_0) || p(x_(t-1) | x_t)), and at the first timestep
    -log p(x_0 | x_1) of grey levels (Ho et al. 2020, equations 5 and 13). The gradient reaches v
    alone: the mean is left to the loss of the noise.

    Args:
        epsilon: The predicted noise, (B, C, H, W).
        v: Where the variance is, likewise.
        images: x_0 in [-1, 1], likewise.
        noise: The noise in x_t, likewise.
        timesteps: t, (B,).
        scheduler: From `noise_scheduler`.
    """
    log_model, log_posterior = log_variances(v, timesteps, scheduler)
    _, factor, _ = (_like(each, timesteps, v) for each in _levels(scheduler))
    # Both means are (x_t - scale' epsilon) / sqrt(alpha_t), one with the true epsilon (equation 7).
    difference = factor * (noise - epsilon.detach())
    divergence = 0.5 * (
        log_model
        - log_posterior
        - 1
        + (log_posterior - log_model).exp()
        + difference.square() * (-log_model).exp()
    )
    # The true mean is x_0 itself at the first timestep.
    scale = (-0.5 * log_model).exp()
    surprise = -log_probability(images, -scale * difference, scale * HALF_LEVEL)
    first = (timesteps == 0).view(-1, *[1] * (v.ndim - 1))
    return torch.where(first, surprise, divergence).flatten(1).mean(1) / math.log(2)


def _levels(scheduler: NoiseScheduler) -> tuple[Tensor, Tensor, Tensor]:
    """Return beta, beta / sqrt(alpha (1 - alpha-bar)) and the posterior's variance of each t."""
    beta = scheduler.betas.double()
    alpha_bar = (1 - beta).cumprod(0)
    posterior = beta[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    scale = beta / ((1 - beta) * (1 - alpha_bar)).sqrt()
    return beta, scale, torch.cat([posterior[:1], posterior])


def _like(values: Tensor, timesteps: Tensor, x: Tensor) -> Tensor:
    """Return the values of t (B,), in the precision of x (B, ...) and to be broadcast with it."""
    chosen = values.to(x.device)[timesteps].to(x.dtype)
    return chosen.view(-1, *[1] * (x.ndim - 1))
