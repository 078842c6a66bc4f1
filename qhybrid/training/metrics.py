"""The log of a run: metrics.csv and TensorBoard events."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from qhybrid.files import write_text
from qhybrid.run_folder import Run
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.clock import Pace
from qhybrid.training.state import StepHook, TrainingState

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second")
"""`step` counts from 1, `loss` is the mean over the steps since the row before."""


class MetricsFile:
    """A CSV file that grows by whole rows."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open or begin the file; rows after a step, from a run that was cut off, are dropped."""
        self._path = path
        rows = [row for row in _read_rows(path) if int(row[0]) <= after_step]
        write_text(path, "".join(_line(row) for row in (COLUMNS, *rows)))

    def append(self, row: Sequence[object]) -> None:
        """Add a row in one write, so that a reader sees all of it or none."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(row))


class MetricsLog(StepHook):
    """Writes a row every few steps and at the last one, and stops a run that has diverged."""

    def __init__(self, run: Run, *, every: int) -> None:
        """Set up for `every` steps between rows."""
        self._run, self._every = run, every

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Keep the files open."""
        self._file = MetricsFile(self._run.metrics_file, after_step=state.step)
        with SummaryWriter(str(self._run.tensorboard), purge_step=state.step + 1) as self._events:
            self._pace = Pace(state.clock, state.step)
            yield

    def after_step(self, state: TrainingState) -> None:
        """Write the row that is due.

        Raises:
            TrainingDiverged: A loss was infinite or NaN.
        """
        if state.step % self._every and state.step != state.plan.total_steps:
            return
        check_finite(state, self._run)
        loss, pace = state.interval_loss.take_mean(), self._pace.lap(state.step)
        rate, epoch = state.learning_rate, state.plan.epoch_of(state.step)
        self._file.append((state.step, epoch, f"{loss:.6g}", f"{rate:.6g}", f"{pace:.4g}"))
        for name, value in (("loss", loss), ("learning_rate", rate), ("steps_per_second", pace)):
            self._events.add_scalar(name, value, state.step)


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
