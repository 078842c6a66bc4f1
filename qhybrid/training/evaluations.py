"""Figures of drawn images while a run is trained, and the weights of the best epoch."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console

from qhybrid.data.dataset import ImageDataset, scale_pixels
from qhybrid.diffusion.images import to_uint8
from qhybrid.diffusion.sampling import DEFAULT_BATCH, sample
from qhybrid.evaluation.comparison import Comparison, comparison
from qhybrid.evaluation.evaluation import FigureResult
from qhybrid.evaluation.features import Wanted, check_features
from qhybrid.evaluation.names import GOOD, LOW
from qhybrid.evaluation.reals import load_reals
from qhybrid.files import read_json, reading, sealed, write_json
from qhybrid.printing import print_lines
from qhybrid.run_folder import Run
from qhybrid.run_metrics import HELD_OUT
from qhybrid.settings.config import Config
from qhybrid.training.checkpoints import CheckpointKeeper
from qhybrid.training.held_out import unseen_images
from qhybrid.training.metrics import MetricsLog
from qhybrid.training.outcome import Interrupted
from qhybrid.training.progress import ProgressDisplay
from qhybrid.training.session import Session
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime import continue_at


@dataclass(frozen=True)
class Yardstick:
    """What drawn images, and the model's loss, are measured with.

    Attributes:
        comparisons: The real images, on each of the features.
        held_out: The first images of the test split; None where there is none.
    """

    comparisons: tuple[Comparison, ...]
    held_out: ImageDataset | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of metrics.csv that are measured."""
        held_out = () if self.held_out is None else (HELD_OUT,)
        names = (name for each in self.comparisons for name in each.names)
        return (*held_out, *dict.fromkeys(names))


def make_yardstick(session: Session, console: Console) -> Yardstick | None:
    """Load the real images and find their features; None for runs that are not evaluated.

    Raises:
        RequestError: There are too few of them, or the features cannot be had.
    """
    data, section = session.config.data, session.config.evaluation
    if not section.every:
        return None
    tell = partial(print_lines, console)
    wanted = Wanted(data, None, session.device, lambda text: tell({"features": text}))
    reals, found = load_reals(data, "train", section.images), []
    for row in check_features(section.features):
        extractor = load_reference(row.loader)(wanted)
        found.append(comparison(extractor, reals, "train", console, section.figures))
    held_out = unseen_images(data, session.dataset, session.state.module.process)
    return Yardstick(tuple(found), held_out)


class _Abandoned(Exception):
    """The run is to stop: the evaluation is made when it is resumed."""


class Evaluations(StepHook):
    """Measures figures every few epochs and at the end, after the checkpoint of that epoch.

    An evaluation that a stop kept from its end is made when the run is resumed.
    """

    def __init__(
        self,
        run: Run,
        config: Config,
        yardstick: Yardstick,
        log: MetricsLog,
        keeper: CheckpointKeeper,
        display: ProgressDisplay,
        stop: StopSignal,
        console: Console,
    ) -> None:
        """Set up; figures go into the log, and weights of the best epoch to the keeper."""
        self._run, self._config, self._yardstick = run, config, yardstick
        self._log, self._keeper, self._display = log, keeper, display
        self._stop, self._console = stop, console

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Make up for the evaluation that is missing."""
        if state.step and not self._log.has_evaluation(state.step):
            self.after_step(state)
        yield

    def after_step(self, state: TrainingState) -> None:
        """Measure the epoch that has ended, if it is its turn.

        Raises:
            Interrupted: The run was asked to stop.
        """
        epoch = due_epoch(state, self._config)
        if epoch is None:
            return
        began = time.perf_counter()
        with state.clock.paused():
            try:
                with state.ema.swapped(state.model):
                    held_out = self._held_out_loss(state)
                    figures = self._figures(state, epoch)
            except _Abandoned:
                if self._run.newest_step() != state.step:
                    self._keeper.save(state)
                raise Interrupted(state.step, self._run.folder) from None
            best = self._keep_best(state, epoch, figures)
            seconds = time.perf_counter() - began
            self._write(state, epoch, held_out, figures, seconds)
        said = ", ".join(f"{f.name} {f.value:.4g} ({f.low:.4g} to {f.high:.4g})" for f in figures)
        told = "" if held_out is None else f"held-out loss {held_out:.4f}, "
        line = f"evaluation of epoch {epoch}: {told}{said}, {seconds:.0f} s{best}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _figures(self, state: TrainingState, epoch: int) -> list[FigureResult]:
        config, images = self._config, self._yardstick.comparisons[0].reference.images
        count, (height, width, channels) = config.evaluation.images, images.shape[1:]

        def may_go_on(done: int, total: int) -> None:
            self._display.say(f"evaluation of epoch {epoch}: {100 * done // total} % drawn")
            if self._stop.requested:
                raise _Abandoned

        # Noisy circuits have errors that follow from the step, as in a run that is resumed here.
        continue_at(state.model, state.step * state.plan.accumulate)
        drawn = sample(
            state.model,
            shape=(count, channels, height, width),
            spec=state.module.noise_schedule,
            sampler=config.sampling.sampler,
            steps=config.sampling.steps,
            seed=config.training.seed,
            device=next(state.model.parameters()).device,
            on_step=may_go_on,
            noise=state.module.noise,
            process=state.module.process,
        )
        pixels, quiet = torch.from_numpy(to_uint8(drawn.images)), Console(quiet=True)
        found = [f for each in self._yardstick.comparisons for f in each.figures(pixels, quiet)]
        return list(dict.fromkeys(found))  # those on pixels are the same on all features

    def _held_out_loss(self, state: TrainingState) -> float | None:
        """Return the loss on held-out images, with the noise of the first training batches."""
        dataset = self._yardstick.held_out
        if dataset is None:
            return None
        count = min(len(dataset), self._config.evaluation.images)
        module, device, total = state.module, next(state.model.parameters()).device, 0.0
        state.model.eval()
        try:
            with torch.no_grad():
                for number, part in enumerate(torch.split(torch.arange(count), DEFAULT_BATCH)):
                    images, ids = scale_pixels(dataset.images[part]), dataset.labels[part]
                    given = module.process.encode(module.model, images.to(device))
                    loss = module(given, ids.to(device), number)
                    total += float(loss) * len(part)
        finally:
            state.model.train()
        return total / count

    def _keep_best(self, state: TrainingState, epoch: int, figures: Sequence[FigureResult]) -> str:
        """Keep the weights if no epoch was better; return what is said of them."""
        name = self._config.evaluation.best
        prefix = self._yardstick.comparisons[0].extractor.row.prefix
        found = next(each for each in figures if each.name in (name, f"{prefix}{name}"))
        before = read_best(self._run)
        sign = 1 if GOOD[name] == LOW else -1
        known = before is not None and before["figure"] == found.name
        if before is not None and known and sign * found.value >= sign * before["value"]:
            return f"; the best is epoch {before['epoch']}"
        self._keeper.save_weights(state, self._run.best_file)
        record = {"figure": found.name, "value": found.value, "epoch": epoch, "step": state.step}
        write_json(self._run.best_record, sealed(record))
        return "; the best so far"

    def _write(
        self,
        state: TrainingState,
        epoch: int,
        held_out: float | None,
        figures: Sequence[FigureResult],
        seconds: float,
    ) -> None:
        """Write the files; the row of metrics.csv comes last: with it the evaluation is done."""
        record = {
            "epoch": epoch,
            "step": state.step,
            "seconds": round(seconds, 3),
            HELD_OUT: held_out,
            "figures": [asdict(figure) for figure in figures],
        }
        write_json(self._run.evaluations / f"epoch-{epoch:03d}.json", sealed(record))
        values = {} if held_out is None else {HELD_OUT: held_out}
        self._log.write_evaluation(state, values | {each.name: each.value for each in figures})


def due_epoch(state: TrainingState, config: Config) -> int | None:
    """Return the epoch that a step completes if it is to be evaluated."""
    epoch = state.plan.completed_epoch(state.step)
    if epoch is None or not config.evaluation.every:
        return None
    last = state.step == state.plan.total_steps
    return epoch if last or epoch % config.evaluation.every == 0 else None


def read_best(run: Run) -> dict[str, Any] | None:
    """Return which epoch was the best: `figure`, `value`, `epoch` and `step`.

    Raises:
        RequestError: The file is damaged.
    """
    path = run.best_record
    if not path.exists() or not run.best_file.is_file():
        return None
    with reading(f"'{path}' cannot be read", "delete it to have the best epoch chosen anew"):
        found = read_json(path, dict[str, Any])
        return {"figure": str(found["figure"]), "value": float(found["value"]), **found}
