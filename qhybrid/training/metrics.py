"""The log of a run: metrics.csv and TensorBoard events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from qhybrid.files import write_text
from qhybrid.run_folder import Run
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.clock import Pace
from qhybrid.training.influence import Probe
from qhybrid.training.state import StepHook, TrainingState
from qhybrid_circuits.files import regular, writing

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second", "influence")
"""`step` counts from 1, `loss` is the mean over the steps since the row before; `influence`, at the
end of an epoch of a model with circuits or their controls, how much its output changes when these
say their mean: `Influence.mean.output`."""


class MetricsFile:
    """A CSV file that grows by whole rows."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open or begin the file; rows after a step, from a run that was cut off, are dropped."""
        self._path = path
        rows = [row for row in _read_rows(path) if int(row[0]) <= after_step]
        write_text(path, "".join(map(_line, (COLUMNS, *rows))))

    def append(self, row: Sequence[object]) -> None:
        """Add a row in one write, so that a reader sees all of it or none."""
        with writing(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(row))


class MetricsLog(StepHook):
    """Writes a row every few steps and at the last one, and stops a run that has diverged.

    With a probe there is a row at the end of each epoch, too.
    """

    def __init__(self, run: Run, *, every: int, probe: Probe | None = None) -> None:
        """Set up for `every` steps between rows; a probe measures the circuits' influence."""
        self._run, self._every, self._probe = run, every, probe

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Keep the files open."""
        self._file = MetricsFile(self._run.metrics_file, after_step=state.step)
        folder = self._run.tensorboard
        with writing(folder):
            self._events = SummaryWriter(str(folder), purge_step=state.step + 1)
        self._pace = Pace(state.clock, state.step)
        try:
            yield
        finally:
            with writing(folder):
                self._events.close()

    def after_step(self, state: TrainingState) -> None:
        """Write the row that is due.

        Raises:
            TrainingDiverged: A loss was infinite or NaN.
        """
        epoch_ends = self._probe and state.plan.completed_epoch(state.step) is not None
        if state.step % self._every and state.step != state.plan.total_steps and not epoch_ends:
            return
        check_finite(state, self._run)
        loss, pace = state.interval_loss.take_mean(), self._pace.lap(state.step)
        rate, epoch = state.learning_rate, state.plan.epoch_of(state.step)
        figures = [f"{loss:.6g}", f"{rate:.6g}", f"{pace:.4g}", ""]
        scalars = [loss, rate, pace]
        if self._probe and epoch_ends:
            scalars.append(self._probe.logged(state))
            figures[-1] = f"{scalars[-1]:.4g}"
        self._file.append((state.step, epoch, *figures))
        with writing(self._run.tensorboard):
            for name, value in zip(COLUMNS[2:], scalars, strict=False):
                self._events.add_scalar(name, value, state.step)


def _line(row: Sequence[object]) -> str:
    return ",".join(map(str, row)) + "\n"


def _read_rows(path: Path) -> list[list[str]]:
    """Return the rows that hold a number in each column; what else is there is left out.

    The last column may be empty, and files of earlier versions do not have it.
    """
    if not path.exists():
        return []
    lines = regular(path).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = (line.split(",") for line in lines)
    return [[*row, ""][: len(COLUMNS)] for row in rows if _is_row(row)]


def _is_row(row: list[str]) -> bool:
    always = len(COLUMNS) - 1
    cells = row[:always] if row[always:] == [""] else row
    try:
        return int(row[0]) > 0 and len([float(cell) for cell in cells]) in (always, always + 1)
    except ValueError:
        return False
