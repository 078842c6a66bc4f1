"""Which sampler draws, and in how many steps; imports nothing heavy."""

from qhybrid.diffusion.samplers import check_sampler, sampler_steps
from qhybrid.models.rows import MODELS
from qhybrid.settings.config import Config

QPU_SAMPLER, QPU_STEPS = "ddim", 10
"""What is taken on a QPU unless told otherwise: every step is paid for."""


def sampler_and_steps(
    config: Config, sampler: str | None, steps: int | None, *, on_qpu: bool
) -> tuple[str, int]:
    """Return a sampler's name and its model evaluations per image; None takes the usual ones.

    These are the configuration's, and `QPU_SAMPLER` and `QPU_STEPS` on a QPU, fake or real, where
    the model's process leaves the choice.

    Raises:
        UnknownNameError: There is no such sampler.
        RequestError: The sampler cannot take so many steps, or does not draw from such a model.
    """
    process, schedule = MODELS[config.model.name].process, config.diffusion.schedule_spec
    free = on_qpu and process.sampler is None and not process.samplers
    usual = QPU_SAMPLER if free else config.sampling.sampler
    spec = check_sampler(usual if sampler is None else sampler)
    if steps is None and free and spec.default_steps is not None:
        steps = min(QPU_STEPS, schedule.timesteps)
    elif steps is None and spec.name == config.sampling.sampler:
        steps = config.sampling.steps
    steps = sampler_steps(spec.name, schedule, steps)
    process.check_sampler(schedule, spec.name, steps)
    return spec.name, steps
