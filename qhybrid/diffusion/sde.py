"""The forward processes in continuous time (Song et al. 2021, "Score-based generative modeling").

dx = f(t) x dt + g(t) dw for t from 0 to 1, with f and g numbers (equation 5). All three are linear
in x, so that x_t = m(t) x_0 + s(t) noise (equation 29). Therefore x_t / sqrt(m^2 + s^2) is what a
variance-preserving process has, of alpha-bar = m^2 / (m^2 + s^2): models are given that, and every
sampler of a schedule of betas draws from them.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid_circuits.errors import RequestError

LEAST_NOISE = 0.01
"""s at the first time that is trained and sampled at: about a grey level of images in [-1, 1].

There the score, noise / s, has no bound (Song et al., appendix C, start at t = 1e-5 to train, and
at 1e-3 or 1e-5 to sample). For the usual VP-SDE it is t = 9e-4, for the sub-VP-SDE t = 0.027.
"""


@dataclass(frozen=True)
class Sde(ABC):
    """A linear SDE; all its functions take t in [0, 1] of any shape, in double precision.

    Attributes:
        start: beta(0), or sigma(0).
        end: beta(1), or sigma(1).
    """

    start: float
    end: float

    @property
    @abstractmethod
    def first(self) -> float:
        """The time at which s is `LEAST_NOISE`."""

    @abstractmethod
    def signal(self, t: Tensor) -> Tensor:
        """Return m(t), the share of the image in x_t."""

    @abstractmethod
    def noise(self, t: Tensor) -> Tensor:
        """Return s(t), the standard deviation of the noise in x_t."""

    @abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """Return g(t)."""

    def alpha_bar(self, t: Tensor) -> Tensor:
        """Return m^2 / (m^2 + s^2)."""
        signal = self.signal(t).square()
        return signal / (signal + self.noise(t).square())

    def time(self, place: Tensor) -> Tensor:
        """Return the time t of places between the first time, 0, and the end, 1."""
        return self.first + (1 - self.first) * place.double()

    def grid(self, timesteps: int) -> Tensor:
        """Return the times that are sampled at, ascending, (T,)."""
        return self.time(torch.linspace(0, 1, timesteps, dtype=torch.float64))

    def betas(self, timesteps: int) -> tuple[float, ...]:
        """Return the betas of a variance-preserving process that has `alpha_bar` on the grid."""
        alpha_bar = self.alpha_bar(self.grid(timesteps))
        before = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
        return tuple((1 - alpha_bar / before).tolist())


class VpSde(Sde):
    """dx = -beta / 2 x dt + sqrt(beta) dw, the limit of the linear schedule (equation 32)."""

    @property
    def first(self) -> float:
        """See `Sde`."""
        return self._time_of(-math.log1p(-(LEAST_NOISE**2)))

    def _time_of(self, integral: float) -> float:
        """Return the time at which the integral of beta has a value."""
        root = math.sqrt(self.start**2 + 2 * (self.end - self.start) * integral)
        return 2 * integral / (self.start + root)

    def integral(self, t: Tensor) -> Tensor:
        """Return the integral of beta from 0 to t."""
        return self.start * t + (self.end - self.start) * t.square() / 2

    def signal(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return (-self.integral(t) / 2).exp()

    def noise(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return (-(-self.integral(t)).expm1()).sqrt()

    def diffusion(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return (self.start + (self.end - self.start) * t).sqrt()


class SubVpSde(VpSde):
    """dx = -beta / 2 x dt + sqrt(beta (1 - exp(-2 integral of beta))) dw (equation 12)."""

    @property
    def first(self) -> float:
        """See `Sde`."""
        return self._time_of(-math.log1p(-LEAST_NOISE))

    def noise(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return -(-self.integral(t)).expm1()

    def diffusion(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return super().diffusion(t) * (-(-2 * self.integral(t)).expm1()).sqrt()


class VeSde(Sde):
    """dx = sigma sqrt(2 ln(end / start)) dw, with sigma geometric in time (equation 30).

    s is sigma itself (equation 31): at t = 0 there is noise of sigma(0) already.
    """

    @property
    def first(self) -> float:
        """See `Sde`; 0 where sigma is larger all the time."""
        return max(0.0, math.log(LEAST_NOISE / self.start) / math.log(self.end / self.start))

    def signal(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return torch.ones_like(t)

    def noise(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return self.start * (self.end / self.start) ** t

    def diffusion(self, t: Tensor) -> Tensor:
        """See `Sde`."""
        return self.noise(t) * math.sqrt(2 * math.log(self.end / self.start))


SDES: dict[str, type[Sde]] = {"vp-sde": VpSde, "sub-vp-sde": SubVpSde, "ve-sde": VeSde}
"""Those of `qhybrid.diffusion.specs.SDE_ENDS`."""


def sde_of(spec: ScheduleSpec) -> Sde:
    """Return the SDE of a schedule in continuous time.

    Raises:
        RequestError: It adds almost no noise, or the schedule is in discrete time.
    """
    if spec.ends is None or not spec.continuous:
        raise RequestError(f"the schedule '{spec.name}' is no SDE; choose one of {', '.join(SDES)}")
    sde = SDES[spec.name](*spec.ends)
    if sde.first >= 1:
        raise RequestError(
            f"the schedule '{spec.name}' from {spec.ends[0]:g} to {spec.ends[1]:g} adds noise of "
            f"less than {LEAST_NOISE}, a grey level, in all its time; use larger ends"
        )
    return sde
