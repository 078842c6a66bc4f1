"""What a run shows: a bar on a terminal, a line an epoch everywhere."""

import lightning as L
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from qhybrid.run_folder import Run
from qhybrid.training.callback import StepCallback
from qhybrid.training.clock import Pace, Stopwatch
from qhybrid.training.module import DenoisingModule
from qhybrid.training.stopping import StopSignal

REFRESH_SECONDS = 0.5
"""Between two figures on the bar; reading a loss waits for the GPU."""


class _StopColumn(ProgressColumn):
    """Says that a signal was heard, from the drawing thread: a signal handler must not print."""

    def __init__(self, stop: StopSignal) -> None:
        super().__init__()
        self._stop = stop

    def render(self, task: Task) -> Text:
        note = "stopping after this step"
        return Text(note if self._stop.requested else "", style="yellow")


class ProgressDisplay(StepCallback):
    """Shows loss and steps a second.

    Must come after the callbacks that write the files it names.
    """

    def __init__(
        self, console: Console, run: Run, *, step: int, stop: StopSignal, clock: Stopwatch
    ) -> None:
        """Set up.

        Args:
            console: Where to; the bar is drawn only on a terminal.
            run: The run shown.
            step: The step that it starts or resumes at.
            stop: Shown once it was requested.
            clock: Measures the pace.
        """
        self._console, self._run, self._step, self._clock = console, run, step, clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            _StopColumn(stop),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._shown_at = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        self._pace = Pace(self._clock, self._step)
        self._bar_pace = Pace(self._clock, self._step)
        if isinstance(pl_module, DenoisingModule):
            self._task = self._bar.add_task(
                "training", total=pl_module.plan.total_steps, completed=self._step, figures=""
            )
        self._bar.start()

    def after_step(self, trainer: L.Trainer, module: DenoisingModule) -> None:
        """Move the bar; print the line of an epoch that has ended."""
        plan = module.plan
        if self._console.is_terminal and self._clock.seconds - self._shown_at > REFRESH_SECONDS:
            self._shown_at = self._clock.seconds
            pace = self._bar_pace.lap(module.step)
            figures = f"loss {module.epoch_loss.mean():.4f}  {pace:.3g} steps/s"
            epoch = f"epoch {plan.epoch_of(module.step)}/{plan.epochs}"
            self._bar.update(self._task, completed=module.step, description=epoch, figures=figures)
        epoch_done = plan.completed_epoch(module.step)
        if epoch_done is not None:
            self._print_epoch(module, epoch_done)

    def _print_epoch(self, module: DenoisingModule, epoch: int) -> None:
        width = len(str(module.plan.epochs))
        line = (
            f"epoch {epoch:>{width}}/{module.plan.epochs}  step {module.step}  "
            f"loss {module.epoch_loss.take_mean():.4f}  {self._pace.lap(module.step):.3g} steps/s"
        )
        grid = self._run.sample_grid(epoch)
        if grid.exists():
            line += f"  {grid.relative_to(self._run.folder)}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the bar away."""
        self._bar.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away, whatever ended the run."""
        self._bar.stop()
