"""The plots of a run: what they show, and that they are pictures."""

import json
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from qhybrid.data.load import load_dataset
from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.images import to_uint8
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.run_folder import Run
from qhybrid.training import plots
from qhybrid.training.batches import StepPlan


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved, each of them really drawn."""
    saved: list[Figure] = []
    draw = unwrap(plots.save_figure)

    def keeping(figure: Figure, path: Path) -> None:
        saved.append(figure)
        draw(figure, path)

    monkeypatch.setattr(plots, "save_figure", keeping)
    return saved


def test_the_loss_is_drawn_by_step_and_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    run = Run(tmp_path)
    run.metrics_file.write_text(
        "step,epoch,loss,learning_rate,steps_per_second,held_out_loss\n"
        "5,1,0.5,0.1,1,\n10,1,0.25,0.1,1,\n10,1,,,,0.3\n15,2,0.1,0.1,1,\n"
    )
    plots.plot_loss(run, StepPlan(100, 10, 1, 2))
    (axes,) = drawn[0].axes
    training, held_out = axes.lines
    np.testing.assert_allclose(training.get_xydata(), [[5, 0.5], [10, 0.25], [15, 0.1]])
    np.testing.assert_allclose(held_out.get_xydata(), [[10, 0.3]])
    assert axes.get_yscale() == "log"
    to_epoch, to_step = plots._epochs(StepPlan(100, 10, 1, 2))
    assert (to_epoch(15), to_step(2)) == (1.5, 20)
    with Image.open(run.loss_plot) as picture:
        assert picture.size == (768, 480)


def test_a_run_without_rows_has_an_empty_plot(tmp_path: Path) -> None:
    run = Run(tmp_path)
    plots.plot_loss(run, StepPlan(100, 10, 1, 2))
    plots.plot_figures(run)
    assert run.loss_plot.is_file()
    assert not run.figures_plot.exists()


def test_figures_have_their_interval_and_floor(tmp_path: Path, drawn: list[Figure]) -> None:
    run = Run(tmp_path)
    run.evaluations.mkdir()
    for epoch in (1000, 2):
        record = {"name": "FID", "value": 20.0 / epoch, "low": 1.0, "high": 30.0, "floor": 0.5}
        content = {"epoch": epoch, "figures": [record, {**record, "name": "recall"}]}
        (run.evaluations / f"epoch-{epoch:03d}.json").write_text(json.dumps(content))
    plots.plot_figures(run)
    first, second = drawn[0].axes
    assert (first.get_title(), second.get_title()) == ("FID", "recall")
    value, floor = first.lines
    np.testing.assert_allclose(value.get_xydata(), [[2, 10.0], [1000, 0.02]])
    np.testing.assert_allclose(floor.get_ydata(), 0.5)
    (band,) = first.collections
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (1.0, 30.0)


def test_the_forward_diffusion_is_that_of_the_formula(tmp_path: Path, drawn: list[Figure]) -> None:
    """x_t = sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) noise (Ho et al. 2020, eq. 4)."""
    dataset, spec = load_dataset("digits"), ScheduleSpec(timesteps=80)
    plots.plot_forward(dataset, EpsilonProcess(spec, P2Weighting()), tmp_path / "forward.png")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        f"t = {t}" for t in range(0, 81, 10)
    ]
    pixels = axes.images[0].get_array().reshape(4, 8, 9, 8).transpose(0, 2, 1, 3)
    generator = torch.Generator().manual_seed(plots.SEED)
    chosen = torch.randperm(len(dataset), generator=generator)[:4]
    images = dataset.tensor()[chosen]
    noise = torch.randn(images.shape, generator=generator)
    bar = noise_scheduler(spec).alphas_cumprod
    for column in range(9):
        kept = bar[10 * column - 1] if column else torch.tensor(1.0)
        expected = to_uint8(kept.sqrt() * images + (1 - kept).sqrt() * noise)[..., 0]
        assert np.abs(pixels[:, column].astype(int) - expected).max() <= 1
