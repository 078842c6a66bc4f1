"""Run what is left of a reproduction: train to each point, keep the weights, compare images."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from qhybrid.diffusion.images import save_grid
from qhybrid.evaluation.evaluate import evaluate
from qhybrid.evaluation.inputs import read_file
from qhybrid.printing import print_lines
from qhybrid.reproduction.pace import Pace, measure, pace_key, seconds_left
from qhybrid.reproduction.plan import Job, Plan, Point
from qhybrid.sampling.folder import SamplingRun
from qhybrid.settings.config import Config
from qhybrid.training.outcome import TrainingDiverged
from qhybrid.training.train import check_resumable, train
from qhybrid_circuits.errors import QHybridError, RequestError
from qhybrid_circuits.files import replacing

GRID_IMAGES = 25

_KEPT = ("config.toml", "model.json", "model.safetensors")
"""What sampling needs of a run; the weights last, since with them the copy is complete."""


def execute(plan: Plan, console: Console | None, after_point: Callable[[], object]) -> None:
    """Do what is left of all jobs; `after_point` is called whenever results were added.

    Raises:
        RequestError: A data set cannot be read, or a folder holds a run with other settings.
        QHybridError: Runs diverged, after all others are done; or one was interrupted, or the disk
            is full.
    """
    console = console or Console(quiet=True)
    paces = _paces(plan, console)
    # What each run prints by itself is too much of many; on a terminal it is the bar.
    shown = console if console.is_terminal else Console(quiet=True)
    diverged = []
    for number, job in enumerate(plan.jobs, start=1):
        _check_same(job)
        if job.done:
            continue
        left = duration(seconds_left(plan, paces))
        place = f"{job.label} ({number} of {len(plan.jobs)} runs; about {left} left in all)"
        print_lines(console, {"run": place})
        try:
            for point in job.points:
                if not point.done:
                    _reach(plan, job, point, shown)
                    after_point()
        except TrainingDiverged as error:
            diverged.append(job)
            print_lines(console, {"note": f"{job.label}: {str(error).partition(';')[0]}"})
    if diverged:
        raise QHybridError(
            f"{len(diverged)} of {len(plan.jobs)} runs are not done, since their loss stopped "
            f"being a finite number: {'; '.join(job.label for job in diverged)}; all others are "
            f"in '{plan.page_file}'; the same command tries them again"
        )


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _paces(plan: Plan, console: Console) -> dict[str, Pace]:
    """Return how long steps and images take here now, of each row that has something left."""
    found: dict[str, Pace] = {}
    for job in plan.jobs:
        if not job.done and pace_key(job) not in found:
            with console.status(f"timing a few steps of table {job.table}, {job.row}"):
                found[pace_key(job)] = measure(plan, job)
    if found:
        steps = ", ".join(f"{key} {pace.step:.3g} s" for key, pace in found.items())
        left = duration(seconds_left(plan, found))
        print_lines(console, {"time": f"about {left}; per step: {steps}"})
    return found


def _check_same(job: Job) -> None:
    """Refuse results of other settings.

    Raises:
        RequestError: The run's folder holds a run with other settings.
    """
    if job.run.config_file.is_file():
        saved = job.run.config()
        try:
            check_resumable(saved, _config(job, job.points[-1]), job.run.folder)
        except RequestError as error:
            reason = str(error).partition(";")[0]
            raise RequestError(
                f"{job.label}: {reason}; leave it as it was, or choose another folder with --out"
            ) from error


def _config(job: Job, point: Point) -> Config:
    """Return the settings up to a point; a run that has begun may have been moved since."""
    config, run = job.config(point.step), job.run
    if run.config_file.is_file():
        source = {"init_from": run.config().transfer.init_from}
        transfer = config.transfer.model_copy(update=source)
        return config.model_copy(update={"transfer": transfer})
    return config


def _reach(plan: Plan, job: Job, point: Point, console: Console) -> None:
    """Train up to a point, keep its weights, and compare its images."""
    if not point.kept:
        if job.run.newest_step() > point.step:
            raise RequestError(
                f"the weights of '{job.run.folder}' at step {point.step} were not kept, but it has "
                "gone on; delete that folder to have it done again"
            )
        _train(job, point, console)
        for name in _KEPT:
            with replacing(point.folder / name) as copy:
                shutil.copyfile(job.run.folder / name, copy)
    if point.evaluated and not point.results_file.is_file():
        shutil.rmtree(point.evaluation, ignore_errors=True)  # of an evaluation that was cut off
        found = evaluate(point.folder, plan.evaluation(), out=point.evaluation, console=console)
        images = read_file(SamplingRun(Path(found.subject)).images_file)
        first = torch.tensor(images[:GRID_IMAGES]).permute(0, 3, 1, 2)
        save_grid(first / 127.5 - 1, point.grid_file)


def _train(job: Job, point: Point, console: Console) -> None:
    """Train from wherever the run is to a point."""
    run = job.run
    begun = run.config_file.is_file()
    if not begun and run.folder.is_dir():
        for left in run.folder.glob(".*.part*"):  # of files that were being written
            left.unlink()
    if run.newest_step() < point.step:
        train(_config(job, point), out=run.folder, resume=begun, console=console)
    if run.newest_step() != point.step:
        raise RequestError(
            f"{job.label}: {run.newest_step():,} steps are all that "
            f"{job.config(point.step).training.epochs:,} epochs of these images have, but "
            f"{point.step:,} are needed; raise training.epochs in the experiments file, or give "
            "more images"
        )
