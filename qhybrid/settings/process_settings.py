"""What a model's diffusion process settles, so that a configuration need not say it."""

from collections.abc import Mapping
from typing import Any

from qhybrid.diffusion.specs import ScheduleSpec


def with_process_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the length of the diffusion and the sampler where the model's process has its own.

    Values are section -> key -> value, or the section itself.
    """
    from qhybrid.models.rows import MODELS

    sections = {name: values.get(name, {}) for name in ("model", "diffusion", "sampling")}
    model, diffusion, sampling = sections.values()
    name = model.get("name") if isinstance(model, Mapping) else getattr(model, "name", None)
    row = MODELS.get(name) if isinstance(name, str) else None
    if row is None:
        return dict(values)
    process = row.process
    steps = process.timesteps or ScheduleSpec.timesteps
    if isinstance(diffusion, Mapping):
        betas = diffusion.get("betas")
        steps = diffusion.get("timesteps", len(betas) if isinstance(betas, list | tuple) else steps)
        if process.timesteps is not None:
            diffusion = {"timesteps": steps, **diffusion}
    else:
        steps = getattr(diffusion, "timesteps", steps)
    if isinstance(sampling, Mapping) and process.sampler is not None:
        sampling = {"sampler": process.sampler, "steps": steps, **sampling}
    return {**values, "diffusion": diffusion, "sampling": sampling}
