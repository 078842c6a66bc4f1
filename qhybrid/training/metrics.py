"""The log of a run: metrics.csv and TensorBoard events."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils.tensorboard import SummaryWriter

from qhybrid.run_folder import Run
from qhybrid.training.checkpoints import check_finite
from qhybrid.training.clock import Pace
from qhybrid.training.metrics_file import COLUMNS, MetricsFile
from qhybrid.training.state import StepHook, TrainingState
from qhybrid_circuits.files import writing


class MetricsLog(StepHook):
    """Writes a row every few steps and at the last one, and stops a run that has diverged."""

    def __init__(self, run: Run, *, every: int) -> None:
        """Set up for `every` steps between rows."""
        self._run, self._every = run, every

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
        if state.step % self._every and state.step != state.plan.total_steps:
            return
        check_finite(state, self._run)
        loss, pace = state.interval_loss.take_mean(), self._pace.lap(state.step)
        rate, epoch = state.learning_rate, state.plan.epoch_of(state.step)
        self._file.append((state.step, epoch, f"{loss:.6g}", f"{rate:.6g}", f"{pace:.4g}"))
        with writing(self._run.tensorboard):
            for name, value in zip(COLUMNS[2:], (loss, rate, pace), strict=True):
                self._events.add_scalar(name, value, state.step)
