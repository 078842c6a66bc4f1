"""What a model's row and its process settle, so that a configuration need not say it."""

from collections.abc import Mapping
from typing import Any

from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.settings.kind_settings import usual_model


def with_process_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what the model has of its own: its settings, length of the diffusion and sampler.

    Values are section -> key -> value, or the section itself.
    """
    from qhybrid.models.rows import MODELS

    model = values.get("model", {})
    if isinstance(model, Mapping) and "name" not in model:
        usual = usual_model(values.get("data"))
        model = model if usual is None else {**model, "name": usual}
        values = values if usual is None else {**values, "model": model}
    name = model.get("name") if isinstance(model, Mapping) else getattr(model, "name", None)
    row = MODELS.get(name) if isinstance(name, str) else None
    if row is None:
        return dict(values)
    for section, own in row.settings.items():
        given = values.get(section, {})
        if isinstance(given, Mapping):
            values = {**values, section: {**own, **given}}
    diffusion, sampling = (values.get(section, {}) for section in ("diffusion", "sampling"))
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
