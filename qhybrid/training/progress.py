"""What a run shows: a bar on a terminal, a line per epoch everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from qhybrid.printing import progress_bar
from qhybrid.run_folder import Run
from qhybrid.training.clock import Pace
from qhybrid.training.state import StepHook, TrainingState
from qhybrid.training.stopping import StopSignal

REFRESH_SECONDS = 0.5
"""Between two figures on the bar; reading a loss waits for the GPU."""


class _FiguresColumn(ProgressColumn):
    """Shows figures, or that a signal was heard, which a signal handler must not print itself.

    In their place, since a line of 80 columns has no room for both.
    """

    def __init__(self, stop: StopSignal) -> None:
        super().__init__(Column(no_wrap=True))
        self._stop = stop

    def render(self, task: Task) -> Text:
        if self._stop.requested:
            return Text("stopping after this step", style="yellow")
        return Text(task.fields["figures"])


class ProgressDisplay(StepHook):
    """Shows loss and steps per second.

    Must come after the hooks that write the files it names.
    """

    def __init__(self, console: Console, run: Run, stop: StopSignal) -> None:
        """Set up; the bar is drawn only on a terminal, and shows a stop once it was requested."""
        self._console, self._run = console, run
        self._bar = progress_bar(console, _FiguresColumn(stop), TextColumn(""))

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Show the bar, and take it away whatever ends the run."""
        self._shown_at = state.clock.seconds
        self._pace = Pace(state.clock, state.step)
        self._bar_pace = Pace(state.clock, state.step)
        self._task = self._bar.add_task(
            "training", total=state.plan.total_steps, completed=state.step, figures=""
        )
        with self._bar:
            yield

    def say(self, text: str) -> None:
        """Show what is done between two steps."""
        self._bar.update(self._task, description=text)

    def after_step(self, state: TrainingState) -> None:
        """Move the bar; print the line of an epoch that has ended."""
        plan = state.plan
        if self._console.is_terminal and state.clock.seconds - self._shown_at > REFRESH_SECONDS:
            self._shown_at = state.clock.seconds
            pace = self._bar_pace.lap(state.step)
            figures = f"loss {state.epoch_loss.mean():.4f}  {pace:.3g} steps/s"
            epoch = f"epoch {plan.epoch_of(state.step)}/{plan.epochs}"
            self._bar.update(self._task, completed=state.step, description=epoch, figures=figures)
        epoch_done = plan.completed_epoch(state.step)
        if epoch_done is None:
            return
        line = (
            f"epoch {epoch_done:>{len(str(plan.epochs))}}/{plan.epochs}  step {state.step}  "
            f"loss {state.epoch_loss.take_mean():.4f}  {self._pace.lap(state.step):.3g} steps/s"
        )
        grid = self._run.sample_grid(epoch_done)
        if grid.exists():
            line += f"  {grid.relative_to(self._run.folder)}"
        self._console.print(line, highlight=False, soft_wrap=True)
