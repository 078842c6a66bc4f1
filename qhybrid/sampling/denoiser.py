"""Models whose circuits run on a backend, all steps or the last ones."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from qhybrid.diffusion.samplers import sampling_scheduler
from qhybrid.models.storage import load_model
from qhybrid.sampling.plan import SamplingPlan
from qhybrid_runtime import Backend, get_backend


class LastStepsElsewhere(nn.Module):
    """Two copies of one model: the first steps on a simulator, the last ones on a QPU."""

    def __init__(self, first: nn.Module, last: nn.Module, timesteps: Collection[int]) -> None:
        """Put the copies together; `last` is evaluated at `timesteps`, the sampler's last ones."""
        super().__init__()
        self.first, self.last = first, last
        self._timesteps = frozenset(timesteps)

    def forward(self, x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        """Predict from x_t (B, C, H, W) and t (B,), which is one timestep for all.

        Models of states take classes (B,) too.
        """
        chosen = self.last if int(t[0]) in self._timesteps else self.first
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
    scheduler = sampling_scheduler(plan.sampler, plan.schedule, plan.steps)
    last = scheduler.timesteps.tolist()[-plan.hardware_steps :]
    return LastStepsElsewhere(simulated, model, last)
