"""What can be set about a diffusion run, as plain values; imports nothing heavy.

The defaults are those of "Quantum Hybrid Diffusion Models for Image Synthesis" (De Falco et al.).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qhybrid_circuits.errors import RequestError, UnknownNameError

SCHEDULES: Mapping[str, str] = {
    "cosine": "alpha-bar follows a squared cosine, offset s = 0.008, betas clipped at 0.999",
    "linear": "betas rise linearly from beta_start to beta_end",
}


MOST_TIMESTEPS = 100_000
"""A hundred times what is common; the betas of many more would not fit into memory."""


@dataclass(frozen=True)
class ScheduleSpec:
    """How much noise the images carry at each timestep.

    Attributes:
        name: A key of `SCHEDULES`.
        timesteps: Length T of the diffusion.
        beta_start: First beta of the linear schedule; the cosine schedule has none.
        beta_end: Last beta of the linear schedule.
    """

    name: str = "cosine"
    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: No schedule has that name.
            RequestError: A value out of its range.
        """
        if self.name not in SCHEDULES:
            raise UnknownNameError("schedule", self.name, SCHEDULES)
        if not 2 <= self.timesteps <= MOST_TIMESTEPS:
            raise RequestError(
                f"timesteps must be at least 2 and at most {MOST_TIMESTEPS}, but it is "
                f"{self.timesteps}"
            )
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise RequestError(
                "betas must satisfy 0 < beta_start <= beta_end < 1, but they are "
                f"{self.beta_start} and {self.beta_end}"
            )


@dataclass(frozen=True)
class P2Weighting:
    """The loss weight (k + SNR)^-gamma of a timestep (Choi et al. 2022, equation 8).

    Attributes:
        k: Keeps the weight finite where the signal-to-noise ratio vanishes.
        gamma: How strongly nearly clean images are weighted down; 0 gives the plain mean squared
            error.
    """

    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RequestError: k is not positive, or gamma is negative.
        """
        if self.k <= 0 or self.gamma < 0:
            raise RequestError(
                f"P2 weighting needs k > 0 and gamma >= 0, but they are {self.k} and {self.gamma}"
            )


@dataclass(frozen=True)
class EmaSpec:
    """How the exponential moving average of the weights follows training.

    At a zero-based training step s that is a multiple of `every`, the average keeps the share
    min(decay, 1 - (1 + n)^-power) of itself, with n = s - start - 1, and nothing while n <= 0.

    Attributes:
        decay: Largest share that is kept.
        every: Training steps between updates.
        start: Last step at which the weights are plainly copied.
        power: Speed of the warm-up.
    """

    decay: float = 0.995
    every: int = 10
    start: int = 100
    power: float = 2 / 3

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            RequestError: A value out of its range.
        """
        if not 0 <= self.decay < 1:
            raise RequestError(f"EMA decay must be in [0, 1), but it is {self.decay}")
        if self.every < 1 or self.start < 0 or self.power <= 0:
            raise RequestError(
                "EMA needs every >= 1, start >= 0 and power > 0, but they are "
                f"{self.every}, {self.start} and {self.power}"
            )
