"""Models whose circuits run on a backend, all steps or the last ones."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from qhybrid.diffusion.specs import P2Weighting
from qhybrid.models.rows import MODELS
from qhybrid.models.storage import load_model
from qhybrid.sampling.plan import SamplingPlan
from qhybrid_runtime import Backend, get_backend


class LastStepsElsewhere(nn.Module):
    """Two copies of one model: the first steps on a simulator, the last ones on a QPU."""

    def __init__(self, first: nn.Module, last: nn.Module, times: Collection[float]) -> None:
        """Put the copies together; `last` is evaluated at `times`, the sampler's last ones."""
        super().__init__()
        self.first, self.last = first, last
        self.autoencoder = getattr(last, "autoencoder", None)
        self.noise_levels = getattr(last, "noise_levels", None)
        self._times = frozenset(times)

    def forward(self, x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        """Predict from x_t (B, C, H, W) and t (B,), which is one timestep for all.

        Models that are told classes take those (B,) too.
        """
        chosen = self.last if float(t[0]) in self._times else self.first
        predicted: Tensor = chosen(x, t, *labels)
        return predicted


def denoiser(plan: SamplingPlan, backend: Backend, device: torch.device | str) -> nn.Module:
    """Return a run's model in evaluation mode, its circuits on a backend.

    Raises:
        RequestError: The model cannot be loaded.
    """
    folder, weights = plan.run.folder, plan.weights_file
    model = load_model(folder, backend, weights=weights).to(device).eval()
    if plan.hardware_steps == plan.steps:
        return model
    simulated = load_model(folder, get_backend("statevector"), weights=weights).to(device).eval()
    process = MODELS[plan.config.model.name].process.build(plan.schedule, P2Weighting())
    times = process.times(plan.sampler, plan.steps)
    return LastStepsElsewhere(simulated, model, times[-plan.hardware_steps :])
