"""The samplers by name, and the diffusers scheduler behind each; torch loads on first use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qhybrid.diffusion.schedules import (
    NoiseScheduler,
    beta_options,
    diffusers_scheduler,
    without_numpy_warnings,
)
from qhybrid.diffusion.specs import BETA, ScheduleSpec
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import Registry, load_reference, row_or_function


@dataclass(frozen=True)
class SamplerInfo:
    """A sampler's row.

    Attributes:
        name: What `--sampler` takes.
        summary: One line on the method.
        default_steps: Model evaluations per image; None means every timestep.
        stochastic: Whether noise is drawn during the steps, not only at the start.
        scheduler: Function (ScheduleSpec) -> diffusers scheduler of models that predict epsilon,
            whose `set_timesteps` takes a list; or "module:function". Without one, the sampler is
            for models of latents only.
        options: Further arguments of `scheduler`.
        evaluations: Evaluations of the model at each time.
        ancestral: Whether its steps have the variance that the schedule names.
        odd: Whether it takes an odd number of steps, as one that evaluates the model twice at each
            noise level but the last.
    """

    name: str
    summary: str
    default_steps: int | None
    stochastic: bool
    scheduler: str | Callable[..., NoiseScheduler] | None
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int = 1
    ancestral: bool = False
    odd: bool = False


_SOLVER = "qhybrid.diffusion.samplers:dpm_solver"

_ROWS = (
    SamplerInfo(
        "ddpm",
        "ancestral sampling (Ho et al. 2020)",
        None,
        True,
        "qhybrid.diffusion.schedules:noise_scheduler",
        ancestral=True,
    ),
    SamplerInfo(
        "ddim", "deterministic, first order (Song et al. 2021)", 50, False, _SOLVER, {"order": 1}
    ),
    SamplerInfo(
        "dpm++",
        "deterministic, second-order multistep (Lu et al. 2022)",
        20,
        False,
        _SOLVER,
        {"order": 2},
    ),
    SamplerInfo(
        "sde-dpm++",
        "stochastic, second-order multistep (Lu et al. 2022)",
        20,
        True,
        _SOLVER,
        {"order": 2, "stochastic": True},
    ),
    SamplerInfo(
        "sde",
        "reverse-time SDE (Song et al. 2021)",
        200,
        True,
        "qhybrid.diffusion.reverse_sde:reverse_sde",
    ),
    SamplerInfo(
        "pc",
        "reverse-time SDE, each step after a correction by Langevin dynamics (Song et al. 2021)",
        200,
        True,
        "qhybrid.diffusion.reverse_sde:reverse_sde",
        {"corrected": True},
        evaluations=2,
    ),
    SamplerInfo(
        "ode",
        "probability-flow ODE, third-order multistep (Lu et al. 2022)",
        50,
        False,
        _SOLVER,
        {"order": 3},
    ),
    SamplerInfo(
        "heun",
        "deterministic, second order, two evaluations a step (Karras et al. 2022)",
        21,
        False,
        None,
        odd=True,
    ),
)


SAMPLERS: Registry[SamplerInfo] = Registry(
    "sampler",
    _ROWS,
    group="qhybrid.samplers",
    adapt=row_or_function(
        "sampler",
        SamplerInfo,
        "(ScheduleSpec) -> diffusers scheduler",
        lambda name, summary, found: SamplerInfo(name, summary, None, True, found),
    ),
)
"""Sampler name -> row; those of installed packages last."""

IMAGE_SAMPLERS = tuple(row.name for row in _ROWS if row.scheduler is not None)
"""Names of those that draw from models that predict the noise in images."""


def check_sampler(name: str) -> SamplerInfo:
    """Return the row of a sampler.

    Raises:
        UnknownNameError: No sampler has that name.
    """
    return SAMPLERS.find(name)


def latents_only(name: str) -> RequestError:
    """Return what to say where a sampler of models of latents is asked to draw from another."""
    return RequestError(
        f"the sampler {name} is for models of latents only; choose ode, which solves the same "
        "equation, or another of `qhybrid sample --help`"
    )


def check_has_variance(variance: str, sampler: str) -> None:
    """Refuse a fixed variance other than the usual one where no step of the sampler has it.

    Learned variances are trained with the noise, which every sampler can draw with.

    Raises:
        RequestError: It would have no effect.
    """
    if variance == BETA and not check_sampler(sampler).ancestral:
        having = ", ".join(name for name, row in SAMPLERS.built_in.items() if row.ancestral)
        raise RequestError(
            f"the variance '{variance}' is of the sampler {having}, and has no effect on "
            f"'{sampler}'; leave it out, or choose the sampler {having}"
        )


def sampler_steps(name: str, spec: ScheduleSpec, steps: int | None = None) -> int:
    """Return how many steps to take: those asked for, else the sampler's default.

    Raises:
        UnknownNameError: No sampler has that name.
        RequestError: Fewer than one step, or more than the schedule has timesteps.
    """
    default = check_sampler(name).default_steps or spec.timesteps
    if steps is None:
        return min(default, spec.timesteps)
    if not 1 <= steps <= spec.timesteps:
        raise RequestError(
            f"steps must be between 1 and the {spec.timesteps} timesteps of the schedule, "
            f"but it is {steps}"
        )
    return steps


def trailing_timesteps(spec: ScheduleSpec, steps: int) -> list[int]:
    """Spread timesteps evenly, descending, from the noisiest one, T - 1 (Lin et al. 2024, table 2).

    diffusers' own trailing spacing can round to one entry too many; this one has exactly `steps`.
    """
    return [round(spec.timesteps * (1 - i / steps)) - 1 for i in range(steps)]


def sampling_scheduler(name: str, spec: ScheduleSpec, steps: int) -> NoiseScheduler:
    """Build the diffusers scheduler of a sampler, its timesteps set.

    All of them clip the predicted image to [-1, 1]: where alpha-bar is nearly 0, as at the end of
    the cosine schedule, the prediction divides the model's error by sqrt(alpha-bar).

    Raises:
        UnknownNameError: No sampler has that name.
        RequestError: It is for models of latents only.
    """
    info = check_sampler(name)
    if info.scheduler is None:
        raise latents_only(name)
    build = load_reference(info.scheduler)
    scheduler: NoiseScheduler = build(spec, **info.options)
    with without_numpy_warnings():
        scheduler.set_timesteps(timesteps=trailing_timesteps(spec, steps))
    return scheduler


def dpm_solver(spec: ScheduleSpec, *, order: int, stochastic: bool = False) -> NoiseScheduler:
    """Build a DPM-Solver++; at first order it is DDIM (Lu et al. 2022, section 4.1).

    DDIMScheduler itself moves T // steps timesteps at a time wherever the next timestep lies, so
    that it is off for every number of steps that does not divide T.

    Its deterministic forms solve the probability-flow ODE in log-SNR. HeunDiscreteScheduler does so
    in x / sqrt(alpha-bar), which the cosine schedule starts at a standard deviation of 20,000: on
    Gaussian data its method is off by 0.17 a pixel after 20 evaluations, this one by 0.001. The
    third order is for the ODE alone: the stochastic form of it does not converge in diffusers 0.42
    (the spread of Gaussian data is 8 to 25 % too wide at 300 to 1000 steps).
    """
    return diffusers_scheduler(
        "DPMSolverMultistepScheduler",
        **beta_options(spec),
        algorithm_type="sde-dpmsolver++" if stochastic else "dpmsolver++",
        solver_order=order,
        # With a largest value of 1 dynamic thresholding is plain clipping to [-1, 1].
        thresholding=True,
        sample_max_value=1.0,
        final_sigmas_type="zero",
    )
