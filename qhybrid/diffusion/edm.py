"""Diffusion as in EDM (Karras et al. 2022), for data of standard deviation 1, by diffusers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from qhybrid.diffusion.schedules import diffusers_scheduler, without_numpy_warnings

SIGMA_MIN, SIGMA_MAX = 0.02, 20.0
"""The least and the most noise that is drawn from: latents are numbers of about 1, not pixels."""

SOLVERS: Mapping[str, Mapping[str, Any]] = {
    "dpm++": {"solver_order": 2},
    "ddim": {"solver_order": 1},
    "ode": {"solver_order": 3},
    "sde-dpm++": {"solver_order": 2, "algorithm_type": "sde-dpmsolver++"},
}
"""Sampler -> options of diffusers' EDMDPMSolverMultistepScheduler."""


class Preconditioning(NamedTuple):
    """The functions of sigma in D(x) = skip x + output F(scale x, time).

    Karras et al. (2022), table 1 (column "Ours") and equation 7, for data of standard deviation 1.
    """

    skip: Tensor
    output: Tensor
    scale: Tensor
    time: Tensor


def preconditioning(sigma: Tensor) -> Preconditioning:
    """Return the functions for noise of standard deviation sigma > 0, any shape."""
    total = sigma.square() + 1
    return Preconditioning(1 / total, sigma / total.sqrt(), total.rsqrt(), sigma.log() / 4)


def edm_scheduler(sampler: str, steps: int) -> Any:
    """Return a sampler's scheduler, of the interface that diffusers' EDM schedulers have.

    Args:
        sampler: One of `SOLVERS`, or `heun`.
        steps: Evaluations of the model; odd for `heun`.
    """
    if sampler == "heun":
        return EdmHeun(steps)
    scheduler: Any = diffusers_scheduler(
        "EDMDPMSolverMultistepScheduler",
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
        sigma_data=1.0,
        **SOLVERS[sampler],
    )
    scheduler.set_timesteps(steps)
    return scheduler


class EdmHeun:
    """Heun's method (Karras et al. 2022, algorithm 1), which diffusers has for predicted noise.

    Attributes:
        sigmas: Noise level of each evaluation, descending, and 0; (evaluations + 1,).
        timesteps: c_noise of each evaluation, (evaluations,).
        init_noise_sigma: Standard deviation of what is drawn from.
    """

    def __init__(self, evaluations: int) -> None:
        """Set up an odd number of evaluations: two for each noise level but the last."""
        # Noise levels of diffusers are those of betas: these betas span the levels of EDM.
        alpha_bars = 1 / (1 + np.geomspace(SIGMA_MIN, SIGMA_MAX, 1000) ** 2)
        betas = 1 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
        self._heun = self._scheduler(betas.tolist())
        with without_numpy_warnings():
            self._heun.set_timesteps((evaluations + 1) // 2)
        self._heun.set_begin_index(0)
        self.sigmas: Tensor = self._heun.sigmas
        self.timesteps = preconditioning(self.sigmas[:-1]).time
        self.init_noise_sigma = float((self.sigmas[0].square() + 1).sqrt())

    @staticmethod
    def _scheduler(betas: list[float]) -> Any:
        return diffusers_scheduler(
            "HeunDiscreteScheduler", trained_betas=betas, use_karras_sigmas=True
        )

    def scale_model_input(self, x: Tensor, t: float) -> Tensor:
        """Return c_in x for the next evaluation, whose c_noise is t."""
        scaled: Tensor = self._heun.scale_model_input(x, t)
        return scaled

    def precondition_inputs(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return c_in x at a noise level."""
        return x * preconditioning(sigma).scale

    def step(
        self, predicted: Tensor, t: float, x: Tensor, generator: Any, return_dict: bool
    ) -> tuple[Tensor]:
        """Return x at the next noise level, from the prediction F for x."""
        sigma = self.sigmas[self._heun.step_index]
        skip, output, _, _ = preconditioning(sigma)
        noise = (x - skip * x - output * predicted) / sigma
        moved: tuple[Tensor] = self._heun.step(noise, t, x, return_dict=return_dict)
        return moved
