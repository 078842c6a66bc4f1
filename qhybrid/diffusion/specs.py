"""What can be set about a diffusion run, as plain values; imports nothing heavy.

The defaults are those of `qhybrid train`, which draws 8x8 digits within minutes; the papers' own
settings are in `qhybrid/configs`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_runtime.backends.names import check_fake_qpu

if TYPE_CHECKING:
    from qhybrid_runtime.hardware.billing import Bill

TRAINED_BETAS = "trained_betas"
"""The schedule whose betas are listed, under diffusers' name for them."""

LEARNED_SCHEDULE = "learned"
"""The schedule that is trained with the model and held by it."""

MOST_LEARNED = 2000
"""Its most timesteps: more could not be told apart in single precision."""

SCHEDULES: Mapping[str, str] = {
    "cosine": "alpha-bar follows a squared cosine, offset s = 0.008, betas clipped at 0.999",
    "squaredcos_cap_v2": "diffusers' name of cosine",
    "linear": "betas rise linearly from beta_start to beta_end",
    "scaled_linear": "square roots of betas rise linearly from those of beta_start to beta_end",
    "sigmoid": "betas rise along a sigmoid from beta_start to beta_end",
    "laplace": "the log of the signal-to-noise ratio follows a Laplace distribution",
    TRAINED_BETAS: "betas as listed, one a timestep",
    "vp-sde": "continuous time: variance-preserving SDE, beta(t) linear as above",
    "sub-vp-sde": "continuous time: the same with less noise before the end",
    "ve-sde": "continuous time: variance-exploding SDE, sigma(t) geometric from sigma_min to "
    "sigma_max",
    LEARNED_SCHEDULE: "a monotone network that is trained with the model by the variational bound",
}

BETA_ENDS: Mapping[str, tuple[float, float]] = dict.fromkeys(
    ("linear", "scaled_linear", "sigmoid"), (1e-4, 0.02)
)
"""The schedules that run from beta_start to beta_end, and the values of these unless given."""

VE_SDE = "ve-sde"
"""The schedule that runs from one sigma to another."""

SDE_ENDS: Mapping[str, tuple[float, float]] = {
    "vp-sde": (0.1, 20.0),
    "sub-vp-sde": (0.1, 20.0),
    VE_SDE: (0.01, 50.0),
}
"""The schedules in continuous time: beta(t), or sigma(t), at t = 0 and 1 unless given.

Those of Song et al. (2021), appendix C; a beta(t) is per unit of time, not per timestep.
"""

_BETAS, _SIGMAS = ("beta_start", "beta_end"), ("sigma_min", "sigma_max")
POSTERIOR, BETA, LEARNED = "posterior", "beta", "learned"
VARIANCES: Mapping[str, str] = {
    POSTERIOR: "of q(x_(t-1) | x_t, x_0), `fixed small` in Ho et al. (2020)",
    BETA: "beta_t, `fixed large`",
    LEARNED: "between both, as a second output of the model says (Nichol and Dhariwal 2021)",
}
"""Variances of a step of the reverse process, as the sampler `ddpm` takes it."""

MOST_TIMESTEPS = 100_000
"""A hundred times what is common; the betas of many more would not fit into memory."""

MOST_NUMBERS = 100_000_000
"""Numbers that a pool of noise may hold: 400 MB."""


@dataclass(frozen=True)
class ScheduleSpec:
    """How much noise the images carry at each timestep.

    Attributes:
        name: A key of `SCHEDULES`.
        timesteps: Length T of the diffusion; in continuous time, of the times that are sampled at.
        beta_start: First beta, of schedules in `BETA_ENDS` and of `vp-sde` and `sub-vp-sde` alone;
            None is its value there.
        beta_end: Last beta, of the same.
        betas: Those of the schedule `trained_betas`, as many as timesteps; None with any other.
        sigma_min: sigma(0), of `ve-sde` alone; None is its value in `SDE_ENDS`.
        sigma_max: sigma(1), of the same.
        variance: A key of `VARIANCES`.
        decoherence: A fake QPU whose decoherence is the noise of quantum states; None for
            depolarizing noise.
    """

    name: str = "cosine"
    timesteps: int = 1000
    beta_start: float | None = None
    beta_end: float | None = None
    betas: tuple[float, ...] | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    variance: str = POSTERIOR
    decoherence: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: No schedule, no variance or no fake QPU has that name.
            RequestError: A value out of its range.
        """
        if self.name not in SCHEDULES:
            raise UnknownNameError("schedule", self.name, SCHEDULES)
        if self.variance not in VARIANCES:
            raise UnknownNameError("variance", str(self.variance), VARIANCES)
        if self.decoherence is not None:
            check_fake_qpu(self.decoherence)
        if not 2 <= self.timesteps <= MOST_TIMESTEPS:
            raise RequestError(
                f"timesteps must be at least 2 and at most {MOST_TIMESTEPS}, but it is "
                f"{self.timesteps}"
            )
        self._check_ends()
        if self.name == LEARNED_SCHEDULE and self.timesteps > MOST_LEARNED:
            raise RequestError(
                f"timesteps of the schedule '{LEARNED_SCHEDULE}' must be at most {MOST_LEARNED}, "
                f"but is {self.timesteps}; set diffusion.timesteps, or choose another schedule"
            )
        self._check_betas()

    @classmethod
    def of_betas(cls, betas: Sequence[float]) -> "ScheduleSpec":
        """Return the schedule of these betas, one a timestep.

        Raises:
            RequestError: One is not in (0, 1), or there are too few or too many.
        """
        return cls(TRAINED_BETAS, len(betas), betas=tuple(betas))

    @property
    def continuous(self) -> bool:
        """Whether it is an SDE, whose models are trained at all times and not at T of them."""
        return self.name in SDE_ENDS

    @property
    def ends(self) -> tuple[float, float] | None:
        """The first beta and the last, or None where the schedule does not run between two.

        In continuous time those at t = 0 and 1; sigma in the place of beta in `ve-sde`.
        """
        usual = SDE_ENDS.get(self.name, BETA_ENDS.get(self.name))
        if usual is None:
            return None
        start, end = (getattr(self, name) for name in self._end_names)
        return usual[0] if start is None else start, usual[1] if end is None else end

    @property
    def _end_names(self) -> tuple[str, str]:
        return _SIGMAS if self.name == VE_SDE else _BETAS

    def _check_ends(self) -> None:
        """Refuse ends of another schedule, and those that are no ends."""
        takers = {_SIGMAS: (VE_SDE,), _BETAS: (*BETA_ENDS, *(n for n in SDE_ENDS if n != VE_SDE))}
        for names, schedules in takers.items():
            given = [name for name in names if getattr(self, name) is not None]
            if given and self.name not in schedules:
                raise RequestError(
                    f"{given[0]} is of the schedules {', '.join(schedules)}, and would have no "
                    f"effect on '{self.name}'; leave it out, or choose one of them"
                )
        if self.ends is None:
            return
        start, end = self.ends
        grows = start < end if self.name == VE_SDE else start <= end
        if not (start > 0 and grows and end < (math.inf if self.continuous else 1)):
            first, last = self._end_names
            sign, limit = "<" if self.name == VE_SDE else "<=", "" if self.continuous else " < 1"
            raise RequestError(
                f"{first.split('_')[0]}s must satisfy 0 < {first} {sign} {last}{limit}, but they "
                f"are {start} and {end}"
            )

    def _check_betas(self) -> None:
        if self.name == TRAINED_BETAS and self.betas is None:
            raise RequestError(
                f"the schedule '{TRAINED_BETAS}' needs its betas, one a timestep; list them in "
                "diffusion.betas, or choose another schedule"
            )
        if self.name != TRAINED_BETAS and self.betas is not None:
            raise RequestError(
                f"the schedule '{TRAINED_BETAS}' is that of listed betas, and no other takes any, "
                f"but the schedule is '{self.name}' and betas are given; leave one of them out"
            )
        if self.betas is None:
            return
        if len(self.betas) != self.timesteps:
            raise RequestError(
                f"betas must be one a timestep, but there are {len(self.betas)} and timesteps is "
                f"{self.timesteps}; leave timesteps out, or list as many betas"
            )
        for t, beta in enumerate(self.betas):
            if not (math.isfinite(beta) and 0 < beta < 1):
                raise RequestError(
                    f"betas must be in (0, 1), all of them, but that of timestep {t} is {beta}"
                )


@dataclass(frozen=True)
class P2Weighting:
    """The loss weight (k + SNR)^-gamma of a timestep (Choi et al. 2022, equation 8).

    Attributes:
        k: Keeps the weight finite where the signal-to-noise ratio vanishes.
        gamma: How strongly nearly clean images are weighted down; 0 gives the plain mean squared
            error.
        likelihood: In continuous time alone, weigh the squared error of the score by g(t)^2
            instead (Song et al. 2021, "Maximum likelihood training", theorem 1).
    """

    k: float = 1.0
    gamma: float = 0.5
    likelihood: bool = False

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
    Without the warm-up it keeps `decay` of itself at every update, the first one included, and so
    a part of the weights that training began with; `start` and `power` are then of no account.

    Attributes:
        decay: Largest share that is kept.
        every: Training steps between updates.
        start: Last step at which the weights are plainly copied.
        power: Speed of the warm-up.
        warmup: Whether there is one.
    """

    decay: float = 0.99
    every: int = 1
    start: int = 20
    power: float = 2 / 3
    warmup: bool = True

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


NOISE_SOURCES: Mapping[str, str] = {
    "gaussian": "PyTorch's generator of normally distributed numbers",
    "quantum": "normally distributed numbers made of bits that are read from qubits",
    "quantum:ghz": "the same, but bits of one shot are all equal: qubits in a GHZ state",
    "quantum:random-circuit": "the same, but bits of one shot are correlated by a random circuit",
}


@dataclass(frozen=True)
class NoiseSpec:
    """Where noise comes from.

    Attributes:
        source: A key of `NOISE_SOURCES`.
        backend: The backend that quantum noise is measured on; not used otherwise.
        pool: How many numbers of quantum noise are measured beforehand, to be used over and over;
            None measures them as they are needed, on simulators alone.
    """

    source: str = "gaussian"
    backend: str = "statevector"
    pool: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UnknownNameError: There is no such source, or no such backend.
            RequestError: The backend is no source of random bits, or it is paid for and no pool is
                asked for, or a pool does not apply.
        """
        from qhybrid_runtime.backends.registry import check_bits

        if self.source not in NOISE_SOURCES:
            raise UnknownNameError("noise source", self.source, NOISE_SOURCES)
        if self.source == "gaussian":
            if self.pool is not None:
                raise RequestError(
                    f"noise_pool is of the noise source 'quantum', but that is '{self.source}'; "
                    "leave it out, or set --noise-source quantum"
                )
            return
        info = check_bits(self.backend)
        if self.pool is not None and not 1 <= self.pool <= MOST_NUMBERS:
            raise RequestError(f"noise_pool must be 1 to {MOST_NUMBERS:,}, but is {self.pool}")
        if self.pool is None and info.paid:
            raise RequestError(self._price())

    @property
    def state(self) -> str:
        """The entangled state that bits are read from; empty where they are independent."""
        return self.source.partition(":")[2]

    def bill(self, num_qubits: int) -> "Bill":
        """Return the estimated bill of the pool, measured on so many qubits."""
        from qhybrid_runtime.randomness.cost import measured_bill

        return measured_bill(self.pool or 0, num_qubits, self.state)

    def _price(self) -> str:
        from qhybrid_runtime.randomness.cost import LEAST_QUBITS, measured_seconds

        seconds = measured_seconds(10**6, LEAST_QUBITS, self.state)
        return (
            f"quantum noise from '{self.backend}' is measured beforehand, and paid for: a million "
            f"numbers take about {seconds:.0f} QPU seconds on {LEAST_QUBITS} qubits; say how many "
            "to measure, to be used over and over, with --set training.noise_pool=N (`qhybrid "
            "sample`: --noise-pool N), or take --noise-source gaussian"
        )
