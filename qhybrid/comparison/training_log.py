"""What the log of a run says of its training; imports nothing heavy."""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from statistics import median

from qhybrid.files import reading
from qhybrid.run_folder import Run
from qhybrid.run_metrics import COLUMNS, read_metrics


@dataclass(frozen=True)
class TrainingLog:
    """The log of a run.

    Attributes:
        steps: Optimizer steps at the end of each row.
        losses: Mean training loss of each row's steps.
        final_loss: Mean training loss of the last epoch.
        seconds_per_step: Median over rows, since the first may compile kernels and others may have
            been disturbed.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    final_loss: float
    seconds_per_step: float


def read_log(run: Run) -> TrainingLog:
    """Read the log of a run.

    Raises:
        RequestError: It has no rows, or is damaged.
    """
    with reading(f"'{run.metrics_file}' cannot be used", "restore it, or leave the run out"):
        return _log(read_metrics(run.metrics_file))


def _log(lines: list[dict[str, str]]) -> TrainingLog:
    # The rows of evaluations have no loss.
    logged = (line for line in lines if line["loss"])
    rows = [{name: float(line[name]) for name in COLUMNS} for line in logged]
    if not rows or not all(isfinite(value) for row in rows for value in row.values()):
        raise ValueError("it has no rows of finite numbers")
    steps = [int(row["step"]) for row in rows]
    lengths = [after - before for before, after in pairwise([0, *steps])]
    last = [row["epoch"] == rows[-1]["epoch"] for row in rows]
    weights = [length * ends for length, ends in zip(lengths, last, strict=True)]
    losses = [row["loss"] for row in rows]
    mean = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    seconds = median(1 / row["steps_per_second"] for row in rows)
    return TrainingLog(tuple(steps), tuple(losses), mean, seconds)
