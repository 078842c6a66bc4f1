"""Plots in the run's folder: the loss, the figures by epoch, and the forward diffusion."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from qhybrid.data.dataset import ImageDataset
from qhybrid.diagrams import new_figure, save_figure
from qhybrid.diffusion.images import to_uint8
from qhybrid.diffusion.process import Process
from qhybrid.diffusion.specs import LEARNED_SCHEDULE
from qhybrid.run_folder import Run
from qhybrid.run_metrics import FIGURE, HELD_OUT, read_metrics, read_series
from qhybrid.settings.config import Config
from qhybrid.training.batches import StepPlan
from qhybrid.training.evaluations import due_epoch
from qhybrid.training.state import StepHook, TrainingState

STRIP_IMAGES, STRIP_TIMES = 4, 9
"""Rows and columns of the forward diffusion."""

SEED = 0
_COLUMNS = 3
_LIMITS = {"precision": (0, 1), "recall": (0, 1), "coverage": (0, 1)}


class Plots(StepHook):
    """Draws the forward diffusion at the start, and the rest at evaluations and at the end."""

    def __init__(self, run: Run, config: Config, dataset: ImageDataset) -> None:
        """Set up; must come after the hooks that write metrics and evaluations."""
        self._run, self._config, self._dataset = run, config, dataset

    @contextmanager
    def running(self, state: TrainingState) -> Iterator[None]:
        """Draw what is known at the start and at the end."""
        with state.clock.paused():
            plot_forward(self._dataset, state.module.process, self._run.forward_plot)
        yield
        self._draw(state)
        if state.module.noise_schedule.name == LEARNED_SCHEDULE:
            plot_forward(self._dataset, state.module.process, self._run.forward_plot)

    def after_step(self, state: TrainingState) -> None:
        """Draw anew what an evaluation has changed; the last one is followed by the end."""
        if state.step != state.plan.total_steps and due_epoch(state, self._config) is not None:
            with state.clock.paused():
                self._draw(state)

    def _draw(self, state: TrainingState) -> None:
        plot_figures(self._run)
        plot_loss(self._run, state.plan)


def plot_loss(run: Run, plan: StepPlan) -> None:
    """Write loss.png from metrics.csv: the loss by step on a logarithmic scale, and by epoch."""
    rows, figure = read_metrics(run.metrics_file), new_figure(6.4, 4)
    axes = figure.add_subplot()
    series = (("loss", "training", "-"), (HELD_OUT, "held out, averaged weights", "o--"))
    for column, label, style in series:
        points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        positive = [(step, loss) for step, loss in points if loss > 0]
        if positive:
            axes.plot(*zip(*positive, strict=True), style, label=label, markersize=4, linewidth=1.2)
    axes.set(xlabel="optimizer step", ylabel="loss", yscale="log")
    from matplotlib.ticker import MaxNLocator

    # The top axis counts the same in epochs.
    top = axes.secondary_xaxis("top", functions=_epochs(plan))
    top.set_xlabel("epoch")
    top.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if any(row.get(HELD_OUT) for row in rows):
        axes.legend(frameon=False)
    save_figure(figure, run.loss_plot)


def _epochs(plan: StepPlan) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return steps as epochs, and epochs as steps."""
    steps = plan.images / plan.images_per_step
    return lambda step: step / steps, lambda epoch: epoch * steps


def plot_figures(run: Run) -> None:
    """Write figures.png from the evaluations: each figure by epoch, its interval and its floor.

    Raises:
        RequestError: A file of an evaluation is damaged.
    """
    series = read_series(run)
    if not series:
        return
    from matplotlib.ticker import MaxNLocator

    columns = 2 if len(series) == 4 else min(_COLUMNS, len(series))
    lines = -(-len(series) // columns)
    figure = new_figure(3.2 * columns, 2.6 * lines)
    for place, (name, points) in enumerate(series.items(), 1):
        epochs, found = zip(*points, strict=True)
        axes = figure.add_subplot(lines, columns, place)
        low, value, high, floor = ([each[key] for each in found] for key in FIGURE)
        axes.fill_between(epochs, low, high, alpha=0.25, linewidth=0, label="95 % interval")
        axes.plot(epochs, value, "o-", markersize=4, linewidth=1.2, label="generated images")
        axes.plot(epochs, floor, "k--", linewidth=1, label="real images")
        axes.set(title=name, xlabel="epoch", ylim=_LIMITS.get(name))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, run.figures_plot)


def plot_forward(dataset: ImageDataset, process: Process, path: Path) -> None:
    """Write training images with the noise of times from 0 to T, a row each.

    x_t = sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) noise (Ho et al. 2020, eq. 4), the same noise at
    all times. Models that diffuse something else than images get no such picture.
    """
    if process.info.planes != 1 or process.info.latents:
        return
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(dataset), generator=generator)[:STRIP_IMAGES]
    images = torch.stack([dataset[int(index)][0] for index in chosen])
    noise = torch.randn(images.shape, generator=generator)
    last = process.schedule.timesteps
    times = torch.linspace(0, last, min(STRIP_TIMES, last + 1)).round().long()
    # Time 0 is the image; a scheduler counts from 0 what follows.
    scheduler, strip = process.present_scheduler(), [images]
    for time in times[1:]:
        strip.append(scheduler.add_noise(images, noise, (time - 1).expand(len(images))))
    # (K, N, C, S, S) to a picture of N rows and K columns.
    size, labels = dataset.image_size, [f"t = {int(time)}" for time in times]
    rows, columns = len(images), len(labels)
    tiles = torch.stack(strip).permute(1, 3, 0, 4, 2).reshape(rows * size, columns * size, -1)
    pixels = to_uint8(tiles.permute(2, 0, 1)[None])[0]
    figure = new_figure(0.9 * columns, 0.9 * rows + 0.25)
    axes = figure.add_subplot()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([(place + 0.5) * size - 0.5 for place in range(columns)], labels)
    axes.set_yticks([])
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    for place in range(1, columns):
        axes.axvline(place * size - 0.5, color="white", linewidth=2)
    for place in range(1, rows):
        axes.axhline(place * size - 0.5, color="white", linewidth=2)
    axes.spines[:].set_visible(False)
    save_figure(figure, path)
