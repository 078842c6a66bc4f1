"""The states to resume from, and the model file for inference that goes with each."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

from qhybrid.files import replacing
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import save_model
from qhybrid.run_folder import Run
from qhybrid.training.callback import StepCallback
from qhybrid.training.clock import Stopwatch
from qhybrid.training.module import STATE_KEY, DenoisingModule
from qhybrid.training.outcome import Interrupted, TrainingDiverged
from qhybrid.training.stopping import StopSignal
from qhybrid_circuits.errors import RequestError

_KEYS = {"optimizer_states", "lr_schedulers", "pytorch-lightning_version", STATE_KEY}
_STATE_KEYS = {"step", "ema", "interval_loss", "epoch_loss"}


class CheckpointKeeper(StepCallback):
    """Saves every few epochs, at the end, and when asked to stop; keeps the newest few."""

    def __init__(
        self,
        run: Run,
        spec: ModelSpec,
        *,
        every: int,
        keep: int,
        stop: StopSignal,
        clock: Stopwatch,
    ) -> None:
        """Set up.

        Args:
            run: Where to.
            spec: What the model was built from.
            every: Epochs between checkpoints.
            keep: Checkpoints to keep.
            stop: Held off while files are written.
            clock: Paused while files are written.
        """
        self._run, self._spec, self._every, self._keep = run, spec, every, keep
        self._stop, self._clock = stop, clock

    def after_step(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Save where an epoch, or the run, ends.

        Raises:
            Interrupted: The run was asked to stop.
        """
        last = module.step == module.plan.total_steps
        epoch = module.plan.completed_epoch(module.step)
        if last or self._stop.requested or (epoch is not None and epoch % self._every == 0):
            self.save(trainer, module)
        if self._stop.requested and not last:
            raise Interrupted(module.step, self._run.folder)

    def save(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Write a checkpoint and the model file, then drop the oldest checkpoints.

        Raises:
            TrainingDiverged: A loss or a weight is not finite: nothing is written.
        """
        check_finite(module, self._run)
        if not all(bool(weight.isfinite().all()) for weight in module.model.parameters()):
            raise TrainingDiverged(module.step, self._run.newest_checkpoint())
        with self._stop.held_off(), self._clock.paused():
            with replacing(self._run.checkpoint(module.step)) as temporary:
                trainer.save_checkpoint(temporary)
            with module.ema.swapped(module.model):
                save_model(module.model, self._spec, self._run.folder)
            for old in self._run.saved_checkpoints()[: -self._keep]:
                old.unlink(missing_ok=True)


def check_finite(module: DenoisingModule, run: Run) -> None:
    """Stop a run that has diverged.

    Raises:
        TrainingDiverged: A loss was infinite or NaN.
    """
    for meter in (module.interval_loss, module.epoch_loss):
        step = meter.first_bad_step()
        if step is not None:
            raise TrainingDiverged(step, run.newest_checkpoint())


def check_checkpoint(path: Path, model: nn.Module) -> None:
    """Refuse a checkpoint that cannot be resumed from, before anything is changed.

    Raises:
        RequestError: It is damaged, or another model's.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved = {name: tuple(t.shape) for name, t in checkpoint["state_dict"].items()}
        complete = checkpoint.keys() >= _KEYS and checkpoint[STATE_KEY].keys() >= _STATE_KEYS
        if not complete or not checkpoint["optimizer_states"]:
            raise KeyError("a part of the state is missing")
        if Run(path.parents[1]).checkpoint(checkpoint[STATE_KEY]["step"]) != path:
            raise ValueError("it was saved at another step than its name says")
    except Exception as error:  # torch.load has no common base for what damaged files raise
        raise RequestError(
            f"'{path}' is not a readable checkpoint; delete it to resume from the one before, "
            "or from the start"
        ) from error
    wanted = {f"model.{name}": tuple(t.shape) for name, t in model.state_dict().items()}
    if saved != wanted:
        differing = sorted(
            name for name in saved.keys() | wanted.keys() if saved.get(name) != wanted.get(name)
        )
        raise RequestError(
            f"'{path}' was saved from another model than the run's config.toml describes: "
            f"{len(differing)} tensors differ, e.g. {differing[0]}; restore the run's own files, "
            "or start a new run without --resume"
        )
