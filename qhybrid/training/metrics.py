"""The log of a run: metrics.csv and TensorBoard events."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import lightning as L
from torch.utils.tensorboard import SummaryWriter

from qhybrid.files import write_text
from qhybrid.run_folder import Run
from qhybrid.training.callback import StepCallback
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.clock import Pace, Stopwatch
from qhybrid.training.module import DenoisingModule

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second")
"""`step` counts from 1, `loss` is the mean over the steps since the row before."""


class MetricsFile:
    """A CSV file that grows by whole rows."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open the file for the rows after a step.

        Args:
            path: The file; it is begun if it does not exist.
            after_step: Rows of later steps, from a run that was cut off, are dropped.
        """
        self._path = path
        rows = [row for row in _read_rows(path) if int(row[0]) <= after_step]
        write_text(path, "".join(_line(row) for row in (COLUMNS, *rows)))

    def append(self, row: Sequence[object]) -> None:
        """Add a row in one write, so that a reader sees all of it or none."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(row))


class MetricsLog(StepCallback):
    """Writes a row every few steps and at the last one, and stops a run that has diverged."""

    def __init__(self, run: Run, *, every: int, step: int, clock: Stopwatch) -> None:
        """Set up.

        Args:
            run: Where to.
            every: Steps between rows.
            step: The step that the run starts or resumes at.
            clock: Measures the pace.
        """
        self._run, self._every, self._clock = run, every, clock
        self._file = MetricsFile(run.metrics_file, after_step=step)
        self._events = SummaryWriter(str(run.tensorboard), purge_step=step + 1)
        self._first_step = step

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._pace = Pace(self._clock, self._first_step)

    def after_step(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Write the row that is due.

        Raises:
            TrainingDiverged: A loss was infinite or NaN.
        """
        if module.step % self._every and module.step != module.plan.total_steps:
            return
        check_finite(module, self._run)
        loss, pace = module.interval_loss.take_mean(), self._pace.lap(module.step)
        rate, epoch = module.learning_rate, module.plan.epoch_of(module.step)
        self._file.append((module.step, epoch, f"{loss:.6g}", f"{rate:.6g}", f"{pace:.4g}"))
        for name, value in (("loss", loss), ("learning_rate", rate), ("steps_per_second", pace)):
            self._events.add_scalar(name, value, module.step)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Close the event file."""
        self._events.close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Close the event file of a run that ends early."""
        self._events.close()


def _line(row: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


def _read_rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    return [row for row in rows[1:] if len(row) == len(COLUMNS) and row[0].isdecimal()]
