"""What the log of a run says of its training; imports nothing heavy."""

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from qhybrid.run_folder import Run
from qhybrid.training.metrics_file import COLUMNS, read_rows
from qhybrid_circuits.errors import RequestError


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
        RequestError: It has no rows.
    """
    rows = [dict(zip(COLUMNS, map(float, row), strict=True)) for row in read_rows(run.metrics_file)]
    if not rows:
        raise RequestError(
            f"'{run.metrics_file}' has no rows: it is damaged, and the run cannot be compared; "
            "leave the run out"
        )
    steps = [int(row["step"]) for row in rows]
    lengths = [after - before for before, after in pairwise([0, *steps])]
    last = [row["epoch"] == rows[-1]["epoch"] for row in rows]
    weights = [length * ends for length, ends in zip(lengths, last, strict=True)]
    losses = [row["loss"] for row in rows]
    mean = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    return TrainingLog(
        tuple(steps), tuple(losses), mean, median(1 / row["steps_per_second"] for row in rows)
    )
