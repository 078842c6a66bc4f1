"""Draw the pictures of first-results.md from two training runs.

    python docs/first_results.py RUN RUN

writes docs/images/first-results-loss.png and docs/images/first-results-grids.png.
"""

import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from qhybrid.run_folder import Run, open_run

IMAGES = Path(__file__).parent / "images"


def model_of(run: Run) -> str:
    return run.folder.name.removesuffix("-mnist10k-1")


def draw_losses(runs: list[Run]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for run, style in zip(runs, ("-", "--"), strict=True):
        with open(run.folder / "metrics.csv", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        axes.semilogy(
            [int(row["step"]) for row in rows],
            [float(row["loss"]) for row in rows],
            style,
            label=model_of(run),
            linewidth=1.2,
        )
    axes.set(xlabel="training step", ylabel="P2-weighted loss (mean of 10 steps)")
    axes.legend(frameon=False)
    figure.savefig(IMAGES / "first-results-loss.png", dpi=150)


def draw_grids(runs: list[Run], gap: int = 24) -> None:
    grids = [Image.open(sorted((run.folder / "samples").glob("*.png"))[-1]) for run in runs]
    width = sum(grid.width for grid in grids) + gap * (len(grids) - 1)
    together = Image.new("RGB", (width, grids[0].height), "white")
    left = 0
    for grid in grids:
        together.paste(grid, (left, 0))
        left += grid.width + gap
    together.save(IMAGES / "first-results-grids.png")


if __name__ == "__main__":
    chosen = [open_run(Path(argument)) for argument in sys.argv[1:]]
    draw_losses(chosen)
    draw_grids(chosen)
