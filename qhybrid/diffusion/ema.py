"""The exponential moving average of the weights that are trained."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress
from typing import Any

import torch
from torch import nn

from qhybrid.diffusion.specs import EmaSpec
from qhybrid.imports import light_diffusers
from qhybrid_circuits.errors import RequestError

# Its networks and pipelines are imported to name types.
with light_diffusers(models=("UNet2DConditionModel",), pipelines=("DiffusionPipeline",)):
    from diffusers.training_utils import EMAModel

__all__ = ["Ema", "EmaSpec"]

BEFORE_THE_FIRST = -2
"""The latest `update_after_step` of EMAModel with which step 0 is averaged already."""


class Ema:
    """Averaged copies of a model's parameters, by diffusers' EMAModel on training's step count.

    Parameters that are not trained have no copies.
    """

    def __init__(self, model: nn.Module, spec: EmaSpec | None = None) -> None:
        """Start from the model's present parameters; no spec means the defaults."""
        self.spec = spec or EmaSpec()
        self._is_trained = [parameter.requires_grad for parameter in model.parameters()]
        decay, warmup = self.spec.decay, self.spec.warmup
        self._average = EMAModel(
            self._trained(model),
            decay=decay,
            # EMAModel keeps nothing up to here, and without a warm-up rises in another way.
            min_decay=0.0 if warmup else decay,
            update_after_step=self.spec.start if warmup else BEFORE_THE_FIRST,
            use_ema_warmup=True,
            inv_gamma=1.0,
            power=self.spec.power,
        )

    def _trained(self, model: nn.Module) -> list[nn.Parameter]:
        return list(compress(model.parameters(), self._is_trained))

    def step(self, model: nn.Module, training_step: int) -> None:
        """Update after an optimizer step, from 0; nothing between multiples of `spec.every`."""
        if training_step % self.spec.every:
            return
        device = next(model.parameters()).device
        if self._average.shadow_params[0].device != device:
            self._average.to(device=device)
        # All weights in a few launches; on the CPU that gains nothing and rounds in another way.
        self._average.foreach = device.type == "cuda"
        # EMAModel counts its own calls and adds one; the warm-up is defined on training steps.
        self._average.optimization_step = training_step - 1
        self._average.step(self._trained(model))

    def decay_at(self, training_step: int) -> float:
        """Return the share of itself that the average keeps at an update at this step."""
        return float(self._average.get_decay(training_step))

    def initial_share(self, steps: int) -> float:
        """Return the share that the first weights have in the average after this many steps."""
        if self.spec.warmup:  # which begins by copying the weights after the first step
            return 0.0 if steps else 1.0
        return float(self.spec.decay ** math.ceil(steps / self.spec.every))

    def copy_to(self, model: nn.Module) -> None:
        """Overwrite the model's parameters with the averages."""
        self._average.copy_to(self._trained(model))

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Put the averages into the model for the duration of a with block, whatever happens."""
        trained = [parameter.detach().clone() for parameter in self._trained(model)]
        try:
            self.copy_to(model)
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._trained(model), trained, strict=True):
                    parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages (copies, in parameter order) and the decay settings."""
        state: dict[str, Any] = self._average.state_dict()
        return {**state, "shadow_params": [p.clone() for p in state["shadow_params"]]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; decay settings are those of `spec`, not of the file.

        Raises:
            RequestError: The state belongs to another model.
        """
        present, saved = self._average.shadow_params, state["shadow_params"]
        if len(saved) == len(self._is_trained):
            # Earlier versions kept copies of all parameters.
            saved = list(compress(saved, self._is_trained))
        if [p.shape for p in present] != [p.shape for p in saved]:
            raise RequestError(
                f"the EMA state holds {len(saved)} tensors that do not fit this model's "
                f"{len(present)} parameters; it was saved from another model"
            )
        for mine, theirs in zip(present, saved, strict=True):
            mine.copy_(theirs)
