"""What a configuration must say for models of states, and what it need not say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qhybrid.models.spec import STATE_TIMESTEPS, ModelSpec, has_states

if TYPE_CHECKING:
    from qhybrid.settings.config import DiffusionSection, SamplingSection


def with_state_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the published length of the diffusion, and the one sampler, for a model of states.

    Args:
        values: Section -> key -> value, or the section itself.
    """
    sections = {name: values.get(name, {}) for name in ("model", "diffusion", "sampling")}
    model, diffusion, sampling = sections.values()
    name = model.get("name") if isinstance(model, Mapping) else getattr(model, "name", None)
    if not isinstance(name, str) or not has_states(name):
        return dict(values)
    if isinstance(diffusion, Mapping):
        betas = diffusion.get("betas")
        steps = len(betas) if isinstance(betas, list | tuple) else STATE_TIMESTEPS
        diffusion = {"timesteps": steps, **diffusion}
        steps = diffusion["timesteps"]
    else:
        steps = getattr(diffusion, "timesteps", STATE_TIMESTEPS)
    if isinstance(sampling, Mapping):
        sampling = {"sampler": "ddpm", "steps": steps, **sampling}
    return {**values, "diffusion": diffusion, "sampling": sampling}


def check_state_settings(
    name: str, diffusion: "DiffusionSection", sampling: "SamplingSection"
) -> None:
    """Refuse a diffusion or a sampler that a model of states cannot have.

    Raises:
        RequestError: There are too many timesteps, or another sampler than `ddpm` with all of them.
    """
    from qhybrid.diffusion.samplers import check_ancestral

    if has_states(name):
        ModelSpec(name, timesteps=diffusion.timesteps)
        check_ancestral(diffusion.schedule_spec, sampling.sampler, sampling.steps)
