"""The variational bound on the negative log-likelihood of images (Ho et al. 2020, equation 5)."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.grey_levels import HALF_LEVEL, log_probability
from qhybrid.diffusion.state_process import posterior

VARIANCES = ("posterior", "beta")
"""Of p(x_(t-1) | x_t): that of q(x_(t-1) | x_t, x_0), with which `ddpm` draws, or beta_t."""


class VariationalBound:
    """The terms of the bound, in nats of whole images, for images of 256 levels in [-1, 1].

    L_T + sum over t > 1 of L_(t-1) + L_0: Kullback-Leibler divergences of the normal distributions
    of q from those of p, and the decoder's -log p(x_0 | x_1). Predicted images are clipped to
    [-1, 1], as samplers do. A schedule in continuous time has the bound of its grid of T times.

    Attributes:
        variances: Variance of p(x_(t-1) | x_t) for each timestep, (T,), by its name. The decoder,
            where that of q is 0, has beta_1 with both.
    """

    def __init__(self, process: EpsilonProcess) -> None:
        """Take the process of a model that predicts noise; it is bound to one it learns from."""
        self._process = process
        self._levels = process.present_scheduler().alphas_cumprod.double()
        self._posterior = posterior(self._levels)
        before = torch.cat([self._levels.new_ones(1), self._levels[:-1]])
        betas = 1 - self._levels / before
        small = torch.cat([betas[:1], self._posterior.variance[1:]])
        self.variances = dict(zip(VARIANCES, (small, betas), strict=True))

    @property
    def timesteps(self) -> int:
        """Return T."""
        return len(self._levels)

    def prior(self, images: Tensor) -> Tensor:
        """Return L_T = KL(q(x_T | x_0) || N(0, 1)) of images (B, C, H, W), (B,)."""
        kept = self._levels[-1]
        variance = 1 - kept
        terms = (kept * images.double().square() + variance - variance.log() - 1) / 2
        return terms.flatten(1).sum(1)

    def term(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        images: Tensor,
        timestep: int,
        noise: Tensor,
    ) -> Iterator[Tensor]:
        """Yield L_t for each of `variances`, with one sample of x_(t+1) per image, (B,).

        Args:
            model: Predicts as its process says.
            images: (B, C, H, W).
            timestep: t, from 0; 0 is the decoder's.
            noise: Standard normal, shaped as the images.
        """
        kept = self._levels[timestep]
        original = images.double()
        noisy = kept.sqrt() * original + (1 - kept).sqrt() * noise.double()
        given = noisy.float()
        times = torch.full((len(given),), timestep, device=given.device)
        predicted = self._process.epsilon(model(given, times).float(), given, timestep).double()
        image = ((noisy - (1 - kept).sqrt() * predicted) / kept.sqrt()).clamp(-1, 1)
        to_image, _, variances = self._posterior
        for each in self.variances.values():
            if timestep == 0:
                std = each[0].sqrt()
                found = log_probability(original, (original - image) / std, HALF_LEVEL / std)
                yield -found.flatten(1).sum(1)
                continue
            # Both means have the same share of x_t.
            error = (to_image[timestep] * (original - image)).square()
            ratio = variances[timestep] / each[timestep]
            terms = (error / each[timestep] + ratio - ratio.log() - 1) / 2
            yield terms.flatten(1).sum(1)


def bits_per_dimension(nats: Tensor, dimensions: int) -> Tensor:
    """Return nats of whole images as bits per pixel and channel."""
    return nats / (dimensions * math.log(2))
