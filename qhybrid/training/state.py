"""All that changes from one step to the next, and what acts between steps."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from qhybrid.diffusion.ema import Ema
from qhybrid.settings.config import Config
from qhybrid.training.batches import StepPlan
from qhybrid.training.clock import Stopwatch
from qhybrid.training.losses import LossMeter
from qhybrid.training.module import DenoisingModule
from qhybrid.training.optimizers import make_optimizer
from qhybrid.training.schedule import learning_rate_factor

_SAVED = ("model", "optimizer", "schedule", "ema", "interval_loss", "epoch_loss")


class TrainingState:
    """A run after any of its steps.

    Attributes:
        module: The network under its loss.
        model: The network.
        plan: The run's steps and epochs.
        ema: The moving average of the network's weights.
        optimizer: Of the network's weights.
        schedule: Sets the optimizer's learning rates.
        step: Optimizer steps done.
        learning_rate: Adam's in the last of them.
        interval_loss: Losses since the last row of metrics.csv.
        epoch_loss: Losses since the last epoch ended.
        clock: Measures the time of the steps, without that of what acts between them.
    """

    def __init__(self, module: DenoisingModule, config: Config, plan: StepPlan) -> None:
        """Prepare training from step 0 of a module that is on its device."""
        training = config.training
        self.module, self.model, self.plan = module, module.model, plan
        self.ema = Ema(self.model, config.ema.spec)
        self.optimizer = make_optimizer(self.model, training, config.natural_gradient)
        factor = partial(
            learning_rate_factor,
            schedule=training.lr_schedule,
            warmup_steps=training.warmup_steps,
            total_steps=plan.total_steps,
        )
        self.schedule = LambdaLR(self.optimizer, factor)
        self.step, self.learning_rate, self.clock = 0, 0.0, Stopwatch()
        self.interval_loss, self.epoch_loss = LossMeter(), LossMeter()

    def add_loss(self, loss: Tensor) -> None:
        """Take in the loss of a batch of the step to come."""
        self.interval_loss.add(loss, self.step + 1)
        self.epoch_loss.add(loss, self.step + 1)

    def end_step(self) -> None:
        """Follow a step of the optimizer with the average, the schedule and the count."""
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.ema.step(self.model, self.step)
        self.schedule.step()
        self.step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return what to save."""
        parts = {name: getattr(self, name).state_dict() for name in _SAVED}
        return {"step": self.step, **parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what was saved."""
        for name in _SAVED:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]


class StepHook(ABC):
    """Acts after each optimizer step, however many batches it took."""

    def running(self, state: TrainingState) -> AbstractContextManager[None]:
        """Return what to enter before the first step and to leave whatever ends the run."""
        return nullcontext()

    @abstractmethod
    def after_step(self, state: TrainingState) -> None:
        """Act; `state.step` counts the step just done."""
