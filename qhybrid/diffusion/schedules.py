"""Noise schedules by diffusers: the betas, and the forward process that training uses."""

from typing import TYPE_CHECKING, Any, Protocol

from qhybrid.diffusion.specs import ScheduleSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["NoiseScheduler", "ScheduleSpec", "beta_options", "noise_scheduler"]


class NoiseScheduler(Protocol):
    """The part of a diffusers scheduler that is used here; diffusers' own types say less."""

    config: Any
    alphas_cumprod: "Tensor"
    timesteps: "Tensor"

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


_DIFFUSERS_NAMES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


def beta_options(spec: ScheduleSpec) -> dict[str, Any]:
    """Return the arguments that give any diffusers scheduler the same betas as in training."""
    return {
        "num_train_timesteps": spec.timesteps,
        "beta_schedule": _DIFFUSERS_NAMES[spec.name],
        "beta_start": spec.beta_start,
        "beta_end": spec.beta_end,
        "prediction_type": "epsilon",
    }


def noise_scheduler(spec: ScheduleSpec) -> NoiseScheduler:
    """Build the scheduler of training and of ancestral sampling.

    It predicts epsilon, clips the predicted image to [-1, 1] and uses the posterior variance
    ("fixed small", Ho et al. 2020, equation 7).
    """
    import diffusers

    scheduler_class: Any = diffusers.DDPMScheduler
    scheduler: NoiseScheduler = scheduler_class(
        **beta_options(spec),
        variance_type="fixed_small",
        clip_sample=True,
        clip_sample_range=1.0,
    )
    return scheduler
