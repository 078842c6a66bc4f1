"""Figures of a reproduction's runs, read from their folders."""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qhybrid.comparison.training_log import read_log
from qhybrid.evaluation.features import FEATURES
from qhybrid.files import read_json, reading
from qhybrid.reproduction.plan import Job
from qhybrid.run_folder import Run
from qhybrid_circuits.files import regular

LOWER_IS_BETTER = frozenset({"FID", "KID", "loss"})
"""Of all other figures, more is better."""

OF_INCEPTION = frozenset({"FID", "KID", "IS"})
"""Figures that on other features are called otherwise, and compared in their order alone."""

LOSS_SHARE = 0.1
"""Of the steps, the last ones: those that the loss is the mean of."""

Figures = dict[str, dict[int, float]]
"""Name as papers have it -> seed -> value."""


def read_figures(jobs: Sequence[Job], epoch: int) -> Figures:
    """Return the figures of a row's runs after an epoch, of the seeds that have them.

    Raises:
        RequestError: A file is damaged.
    """
    found: Figures = {}
    for job in jobs:
        point = next(point for point in job.points if point.epoch == epoch)
        if not point.results_file.is_file():
            continue
        remedy = f"delete '{point.evaluation}' to have it done again"
        with reading(f"'{point.results_file}' is damaged", remedy):
            for each in read_json(point.results_file, dict[str, Any])["figures"]:
                name = each["name"].removeprefix(f"{each['features']}-")
                found.setdefault(name, {})[job.seed] = float(each["value"])
        remedy = f"delete '{job.run.folder}' to have it done again"
        with reading(f"a file of the run '{job.run.folder}' is damaged", remedy):
            found.setdefault("loss", {})[job.seed] = _loss(job.run, point.step)
            count = _parameters(Run(point.folder).model_file)
            found.setdefault("parameters", {})[job.seed] = count
    return found


def shown_name(figure: str, features: str) -> str:
    """Return what a figure is called on some features."""
    return f"{FEATURES[features].prefix}{figure}" if figure in OF_INCEPTION else figure


def _loss(run: Run, step: int) -> float:
    """Return the mean training loss of the last steps up to one."""
    log = read_log(run)
    past = [(at, loss) for at, loss in zip(log.steps, log.losses, strict=True) if at <= step]
    recent = [loss for at, loss in past if at > (1 - LOSS_SHARE) * step]
    return fmean(recent or [past[-1][1]])


def _parameters(path: Path) -> int:
    """Return how many numbers a file of weights holds, by its header (safetensors)."""
    with regular(path).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(length, path.stat().st_size)))
    tensors = [each for name, each in header.items() if name != "__metadata__"]
    return sum(math.prod(each["shape"]) for each in tensors)
