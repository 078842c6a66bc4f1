"""The reverse-time SDE, of a discrete schedule and in continuous time, and its corrector."""

from itertools import pairwise
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from qhybrid.diffusion.schedules import beta_options
from qhybrid.diffusion.sde import Sde, sde_of
from qhybrid.diffusion.specs import ScheduleSpec

SNR = 0.16
"""The corrector's signal-to-noise ratio r, that of Song et al. (2021) for images of 32x32."""


class ReverseSde(DDPMScheduler):  # type: ignore[misc]
    """Solves the reverse-time VP-SDE with the steps of the forward process turned round.

    Training moves an image from noise level alpha-bar' to alpha-bar by x <- sqrt(1 - b) x + sqrt(b)
    z, b = 1 - alpha-bar / alpha-bar'. The same discretization of dx = (f - g^2 score) dt + g dw
    (Anderson 1982) is x <- (2 - sqrt(1 - b)) x + b score + sqrt(b) z (Song et al. 2021, equation
    46). It converges to the SDE as b falls, and stays bounded where b is near 1, as at the end of
    the cosine schedule: there a step of Euler and Maruyama, whose factor of x is 1 + beta dt / 2
    with beta dt = -log(1 - b), would magnify what it is given. The last step returns the predicted
    image: noise that no step follows would only stay in it.

    diffusers' ScoreSdeVpScheduler is deprecated, knows the linear schedule alone, does not clip,
    and its step 1 / N is not the distance of its N timesteps. SASolverScheduler takes no timesteps
    and ends at the first noise level instead of at none.

    Attributes:
        corrected: Whether each step but perhaps the first is preceded by one of Langevin dynamics
            at the same timestep, which takes every second evaluation of the model (Song et al.
            2021, algorithm 1 and section 4.2). The size of those steps is 2 (r |z| / |score|)^2
            with the norms of each image, not of the batch, so that images do not depend on the
            others.
    """

    corrected: bool = False

    def set_timesteps(self, *, timesteps: list[int]) -> None:
        """Set the evaluations of the model, descending; those to correct take half of them."""
        reached = timesteps[::2] if self.corrected else timesteps
        super().set_timesteps(timesteps=reached)
        self._following = dict(pairwise([*reached, -1]))
        self._corrections: list[int] = []
        if self.corrected:
            twice = [t for t in reached for _ in range(2)][-len(timesteps) :]
            self.timesteps = torch.tensor(twice)
            self._corrections = reached[2 * len(reached) - len(twice) :]

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> tuple[Tensor]:
        """Return x (B, C, H, W) at the timestep that follows, or corrected, in a tuple.

        The output is the predicted epsilon of the sample x, and a list of generators has one for
        each image. `return_dict` is without effect.
        """
        signal, variance = self.level(timestep)
        image = ((sample - variance.sqrt() * model_output) / signal).clamp(-1, 1)
        following, corrects = self._following[timestep], timestep in self._corrections
        if following < 0 and not corrects:
            return (image,)
        score = (signal * image - sample) / variance
        noise = randn_tensor(
            sample.shape, generator=generator, device=sample.device, dtype=sample.dtype
        )
        if corrects:
            self._corrections.remove(timestep)
            return (_langevin(sample, score, noise, self.scale(timestep)),)
        kept, added = self.transition(following, timestep)
        return ((2 - kept) * sample + added * score + added.sqrt() * noise,)

    def scale(self, timestep: int) -> float:
        """Return sqrt(m^2 + s^2)."""
        return 1.0

    def level(self, timestep: int) -> tuple[Tensor, Tensor]:
        """Return m and s^2 of x_t = m x_0 + s noise."""
        now: Tensor = self.alphas_cumprod[timestep]
        return now.sqrt(), 1 - now

    def transition(self, before: int, after: int) -> tuple[Tensor, Tensor]:
        """Return F and G^2 of x_after = F x_before + G noise."""
        b: Tensor = 1 - self.alphas_cumprod[after] / self.alphas_cumprod[before]
        return (1 - b).sqrt(), b


class OwnScale(ReverseSde):
    """Solves the reverse-time SDE of a schedule in continuous time, with its own m(t) and s(t).

    x <- (2 - F) x + G^2 score + G z with the F and G of the forward SDE between two times, which
    Song et al. (2021) call reverse diffusion (equation 46): F = 1 and G^2 = sigma^2 - sigma'^2 for
    the VE-SDE. Models are given x / sqrt(m^2 + s^2), see `qhybrid.diffusion.sde`.
    """

    signals: Tensor
    variances: Tensor

    def take(self, sde: Sde) -> None:
        """Take the m(t) and s(t) of an SDE, whose `alpha_bar` the schedule has."""
        times = sde.grid(len(self.alphas_cumprod))
        self.signals, self.variances = sde.signal(times), sde.noise(times).square()
        self.init_noise_sigma = self.scale(-1)

    def scale(self, timestep: int) -> float:
        """Return sqrt(m^2 + s^2), of the last timestep for -1."""
        return float((self.signals[timestep].square() + self.variances[timestep]).sqrt())

    def scale_model_input(self, sample: Tensor, timestep: int | None = None) -> Tensor:
        """Return what the model is given for x at a timestep; negative for an image."""
        return sample if timestep is None or timestep < 0 else sample / self.scale(timestep)

    def level(self, timestep: int) -> tuple[Tensor, Tensor]:
        """See `ReverseSde`."""
        return self.signals[timestep].float(), self.variances[timestep].float()

    def transition(self, before: int, after: int) -> tuple[Tensor, Tensor]:
        """See `ReverseSde`."""
        kept = self.signals[after] / self.signals[before]
        added = self.variances[after] - kept.square() * self.variances[before]
        return kept.float(), added.float()


def _langevin(x: Tensor, score: Tensor, noise: Tensor, scale: float) -> Tensor:
    """Return x (B, C, H, W) after a step of Langevin dynamics.

    Where the score all but vanishes, as at the middle of a Gaussian, its norm is taken to be that
    of x of standard deviation `scale`, the largest there is.
    """
    lengths: Tensor = noise.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
    lengths = lengths.nan_to_num(nan=0.0).clamp(max=scale)[:, None, None, None]
    size: Tensor = 2 * (SNR * lengths).square()
    return x + size * score + (2 * size).sqrt() * noise


def reverse_sde(spec: ScheduleSpec, *, corrected: bool = False) -> ReverseSde:
    """Return the solver of the reverse-time SDE of a schedule."""
    options = beta_options(spec)
    solver: ReverseSde = ReverseSde(**options)
    if spec.continuous:
        solver = own = OwnScale(**options)
        own.take(sde_of(spec))
    solver.corrected = corrected
    return solver
