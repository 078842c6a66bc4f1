"""The states to resume from, and the model file for inference that goes with each.

A checkpoint is what `torch.save` makes of a dict: `format` is the number FORMAT, `step` counts the
optimizer steps done, and `model`, `optimizer`, `schedule`, `ema`, `interval_loss` and `epoch_loss`
are the states of those parts of `TrainingState`. `checksum` is the SHA-256 of all others. Files of
the first format have no number; they are those of Lightning's Trainer, and are resumed as well.
"""

import io
from pathlib import Path
from typing import Any

import torch

from qhybrid.files import reading, replacing, sealed, unsealed
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import read_pickled, save_model, save_weights
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.training.outcome import Interrupted, TrainingDiverged
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal
from qhybrid_circuits.errors import RequestError

FORMAT = 2
"""Of the checkpoints that are written; later ones are refused."""


class CheckpointKeeper(StepHook):
    """Saves every few epochs, at the end, and when asked to stop; keeps the newest few."""

    def __init__(self, run: Run, spec: ModelSpec, config: Config, stop: StopSignal) -> None:
        """Set up; signals to stop are held off while files are written."""
        self._run, self._spec, self._stop = run, spec, stop
        self._images, training = config.data.dataset, config.training
        self._every, self._keep = training.checkpoint_every, training.keep_checkpoints
        self._epochs = training.keep_epochs or ()

    def after_step(self, state: TrainingState) -> None:
        """Save where an epoch, or the run, ends.

        Raises:
            Interrupted: The run was asked to stop.
        """
        last = state.step == state.plan.total_steps
        epoch = state.plan.completed_epoch(state.step)
        if epoch is not None and epoch in self._epochs:
            # Before the checkpoint, with which the epoch is done.
            self.save_weights(state, self._run.epoch_weights(epoch))
        if last or self._stop.requested or (epoch is not None and epoch % self._every == 0):
            self.save(state)
        if self._stop.requested and not last:
            raise Interrupted(state.step, self._run.folder)

    def save(self, state: TrainingState) -> None:
        """Write the model file and a checkpoint, then drop the oldest checkpoints.

        The checkpoint comes last: a run that is resumed at its end has the model of that step.

        Raises:
            TrainingDiverged: A loss or a weight is not finite: nothing is written.
        """
        self._check_finite(state)
        with self._stop.held_off(), state.clock.paused():
            # A model without this folder is no run that was stopped before its first checkpoint.
            self._run.checkpoints.mkdir(exist_ok=True)
            with state.ema.swapped(state.model):
                save_model(state.model, self._spec, self._run.folder, self._images)
            # In memory first: torch does not say of a write that failed why it did.
            content = io.BytesIO()
            with replacing(self._run.checkpoint(state.step)) as temporary:
                torch.save(sealed({"format": FORMAT, **state.state_dict()}), content)
                temporary.write_bytes(content.getbuffer())
            for old in self._run.saved_checkpoints()[: -self._keep]:
                old.unlink(missing_ok=True)

    def save_weights(self, state: TrainingState, path: Path) -> None:
        """Write the averaged weights alone.

        Raises:
            TrainingDiverged: A loss or a weight is not finite: nothing is written.
        """
        self._check_finite(state)
        with self._stop.held_off(), state.clock.paused(), state.ema.swapped(state.model):
            save_weights(state.model.state_dict(), self._spec, path)

    def _check_finite(self, state: TrainingState) -> None:
        check_finite(state, self._run)
        if not all(bool(weight.isfinite().all()) for weight in state.model.parameters()):
            raise TrainingDiverged(state.step, self._run.newest_checkpoint())


def check_finite(state: TrainingState, run: Run) -> None:
    """Stop a run that has diverged.

    Raises:
        TrainingDiverged: A loss was infinite or NaN.
    """
    for meter in (state.interval_loss, state.epoch_loss):
        step = meter.first_bad_step()
        if step is not None:
            raise TrainingDiverged(step, run.newest_checkpoint())


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Continue from a checkpoint.

    Raises:
        RequestError: It is damaged, another model's, or of a later format.
    """
    run = Run(path.parents[1])
    older = run.saved_checkpoints()[-2:-1]
    before = f"the one before, '{older[0].name}'" if older else "the start"
    with reading(f"'{path}' is not a readable checkpoint", f"delete it to resume from {before}"):
        saved = unsealed(dict(read_pickled(path)))
        if saved.get("format", 1) > FORMAT:
            raise RequestError(
                f"'{path}' has format {saved['format']}, of a later qhybrid than this one, which "
                f"reads up to format {FORMAT}; update qhybrid, or start a new run without --resume"
            )
        if "format" not in saved:
            saved = _from_trainer(saved)
        if run.checkpoint(saved["step"]) != path:
            raise ValueError("it was saved at another step than its name says")
        _check_fit(saved["model"], state.model.state_dict(), path)
        state.load_state_dict(saved)


def _from_trainer(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the state in a file that Lightning's Trainer wrote."""
    weights = saved["state_dict"].items()
    return {
        "model": {name.removeprefix("model."): tensor for name, tensor in weights},
        "optimizer": saved["optimizer_states"][0],
        "schedule": saved["lr_schedulers"][0],
        **saved["qhybrid"],
    }


def _check_fit(saved: dict[str, Any], model: dict[str, Any], path: Path) -> None:
    """Refuse the weights of another model."""
    found, wanted = ({n: tuple(t.shape) for n, t in each.items()} for each in (saved, model))
    differing = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
    if differing:
        raise RequestError(
            f"'{path}' was saved from another model than the run's config.toml describes: "
            f"{len(differing)} tensors differ, e.g. {differing[0]}; restore the run's own files, "
            "or start a new run without --resume"
        )
