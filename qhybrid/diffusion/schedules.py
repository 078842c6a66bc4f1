"""Noise schedules by diffusers: the betas, and the forward process that training uses."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from qhybrid.diffusion.specs import BETA, LEARNED, LEARNED_SCHEDULE, POSTERIOR, ScheduleSpec
from qhybrid.imports import light_diffusers
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["NoiseScheduler", "ScheduleSpec", "beta_options", "noise_scheduler"]


class NoiseScheduler(Protocol):
    """The part of a diffusers scheduler that is used here; diffusers' own types say less."""

    config: Any
    betas: "Tensor"
    alphas_cumprod: "Tensor"
    timesteps: "Tensor"
    init_noise_sigma: Any

    def scale_model_input(self, sample: "Tensor", timestep: int) -> Any:
        """Return what the model is given for x (B, C, H, W) at a timestep."""

    def add_noise(self, original_samples: "Tensor", noise: "Tensor", timesteps: "Tensor") -> Any:
        """Return x_t (B, C, H, W) for x_0, epsilon and t (B,)."""

    def step(
        self,
        model_output: "Tensor",
        timestep: int,
        sample: "Tensor",
        *,
        generator: "list[Generator]",
        return_dict: bool,
    ) -> Any:
        """Return x at the timestep that follows; a tuple that starts with it."""

    def set_timesteps(self, *, timesteps: list[int]) -> None:
        """Set the timesteps to visit, descending."""


def diffusers_scheduler(class_name: str, **options: Any) -> NoiseScheduler:
    """Return a scheduler of diffusers."""
    with light_diffusers():
        import diffusers

        make = getattr(diffusers, class_name)
    with without_numpy_warnings():
        scheduler: NoiseScheduler = make(**options)
    return scheduler


@contextmanager
def without_numpy_warnings() -> Iterator[None]:
    """Leave out what numpy 2 says of the way in which diffusers' schedulers hand it tensors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


_DIFFUSERS_NAMES = {"cosine": "squaredcos_cap_v2"}
_VARIANCE_TYPES = {POSTERIOR: "fixed_small", BETA: "fixed_large", LEARNED: "learned_range"}

#: alpha-bar below which single precision cannot be relied on.
_LEAST_ALPHA_BAR = 1e-30


def beta_options(spec: ScheduleSpec) -> dict[str, Any]:
    """Return the arguments that give any diffusers scheduler the same betas as in training.

    They are listed, since not every scheduler knows every schedule by its name.

    Args:
        spec: The schedule.

    Raises:
        RequestError: A timestep adds no noise, or the last ones leave nothing of the image, in
            single precision; or the schedule is learned, and only a model has its betas.

    Example:
        >>> from qhybrid.diffusion.schedules import ScheduleSpec, beta_options
        >>> beta_options(ScheduleSpec("linear", 10))["num_train_timesteps"]
        10
    """
    if spec.name == LEARNED_SCHEDULE:
        raise RequestError(
            f"the schedule '{LEARNED_SCHEDULE}' is trained with a model and has no betas without "
            "it; take those of the trained model, `model.noise_levels.betas(timesteps)`"
        )
    return {
        "num_train_timesteps": spec.timesteps,
        "trained_betas": list(_betas(spec)),
        "prediction_type": "epsilon",
    }


@lru_cache(maxsize=16)
def _betas(spec: ScheduleSpec) -> tuple[float, ...]:
    """Return the betas by diffusers, checked to keep all samplers finite."""
    if spec.continuous:
        from qhybrid.diffusion.sde import sde_of

        spec = ScheduleSpec.of_betas(sde_of(spec).betas(spec.timesteps))
    options: dict[str, Any] = {"beta_schedule": _DIFFUSERS_NAMES.get(spec.name, spec.name)}
    if spec.betas is not None:
        options = {"trained_betas": list(spec.betas)}
    if spec.ends is not None:
        options["beta_start"], options["beta_end"] = spec.ends
    scheduler = diffusers_scheduler("DDPMScheduler", num_train_timesteps=spec.timesteps, **options)
    _check_levels(spec, scheduler.alphas_cumprod)
    return tuple(scheduler.betas.tolist())


def _check_levels(spec: ScheduleSpec, alpha_bar: "Tensor") -> None:
    """Refuse what would make a sampler divide by zero: all of them compute in single precision."""
    named = f"the schedule '{spec.name}' with {spec.timesteps} timesteps"
    if not float(alpha_bar[-1]) >= _LEAST_ALPHA_BAR:
        raise RequestError(
            f"{named} leaves the share {float(alpha_bar[-1]):.0e} of an image, less than "
            f"{_LEAST_ALPHA_BAR:.0e}, with which nothing can be computed; use fewer timesteps or "
            "smaller betas"
        )
    # The solvers divide by the distance of timesteps in this, half the log-SNR.
    half_log_snr = alpha_bar.sqrt().log() - (1 - alpha_bar).sqrt().log()
    same = (~(half_log_snr.diff() < 0)).nonzero()
    if not bool(alpha_bar[0] < 1) or len(same):
        t = int(same[0]) + 1 if bool(alpha_bar[0] < 1) else 0
        raise RequestError(
            f"{named} adds less noise at timestep {t} than single precision can tell from none; "
            "use fewer timesteps or larger betas"
        )


def noise_scheduler(spec: ScheduleSpec) -> NoiseScheduler:
    """Build the scheduler of training and of ancestral sampling.

    It predicts epsilon and clips the predicted image to [-1, 1]. Its steps have the variance that
    the schedule names; that of the posterior is equation 7 of Ho et al. (2020).

    Args:
        spec: The schedule.

    Raises:
        RequestError: The schedule leaves what single precision can hold.

    Example:
        >>> from qhybrid.diffusion.schedules import ScheduleSpec, noise_scheduler
        >>> noise_scheduler(ScheduleSpec("cosine", 1000)).alphas_cumprod.shape
        torch.Size([1000])
    """
    clipped = {"clip_sample": True, "clip_sample_range": 1.0}
    options = {**beta_options(spec), "variance_type": _VARIANCE_TYPES[spec.variance], **clipped}
    return diffusers_scheduler("DDPMScheduler", **options)
