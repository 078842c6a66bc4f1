"""The log of a run: metrics.csv and TensorBoard events."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from torch.utils.tensorboard import SummaryWriter

from qhybrid.run_folder import Run
from qhybrid.run_metrics import COLUMNS, MetricsFile, Row
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.clock import Pace
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.trackers import Tracker
from qhybrid_circuits.files import writing


class Probe(Protocol):
    """Measures one figure of the model at the end of each epoch.

    Attributes:
        column: Its name in metrics.csv.
    """

    column: str

    def logged(self, state: TrainingState) -> float:
        """Return the figure of the averaged weights."""


class MetricsLog(StepHook):
    """Writes a row every few steps and at the last one, and stops a run that has diverged.

    With a probe there is a row at the end of each epoch, too.
    """

    def __init__(
        self,
        run: Run,
        *,
        every: int,
        tracker: Tracker,
        figures: tuple[str, ...] = (),
        probe: Probe | None = None,
    ) -> None:
        """Set up for `every` steps between rows, and columns of figures, the probe's among them."""
        self._tracker = tracker
        self._run, self._every, self._probe = run, every, probe
        self._figures = figures if probe is None else (probe.column, *figures)

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Keep the files open."""
        path, figures = self._run.metrics_file, self._figures
        self._file = MetricsFile(path, after_step=state.step, figures=figures)
        folder = self._run.tensorboard
        with writing(folder):
            self._events = SummaryWriter(str(folder), purge_step=state.step + 1)
        self._pace = Pace(state.clock, state.step)
        self._tracker.open()
        try:
            yield
        finally:
            self._tracker.close()
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
        rate = state.learning_rate
        written = {"loss": f"{loss:.6g}", "learning_rate": f"{rate:.6g}"}
        written["steps_per_second"] = f"{pace:.4g}"
        events = dict(zip(COLUMNS[2:], (loss, rate, pace), strict=True))
        if self._probe and epoch_ends:
            column = self._probe.column
            events[column] = self._probe.logged(state)
            written[column] = f"{events[column]:.4g}"
        self._append(state, written)
        self._add_events(state, events)

    def has_evaluation(self, step: int) -> bool:
        """Whether a step's evaluation was written before this session."""
        return self._file.has_evaluation(step)

    def write_evaluation(self, state: TrainingState, figures: Mapping[str, float]) -> None:
        """Write the row of an evaluation of the present weights."""
        self._append(state, {name: f"{value:.6g}" for name, value in figures.items()})
        self._add_events(state, {f"evaluation/{name}": each for name, each in figures.items()})

    def _append(self, state: TrainingState, row: Row) -> None:
        self._file.append({"step": state.step, "epoch": state.plan.epoch_of(state.step), **row})

    def _add_events(self, state: TrainingState, values: Mapping[str, float]) -> None:
        with writing(self._run.tensorboard):
            for name, value in values.items():
                self._events.add_scalar(name, value, state.step)
        self._tracker.log(values, state.step)
