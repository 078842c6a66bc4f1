"""One sampling run: load the model, draw, and write the folder."""

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from qhybrid.diffusion import SampleResult, sample, save_gif, save_grid, to_uint8
from qhybrid.files import replacing, write_json
from qhybrid.models import ModelSpec, load_model, read_spec
from qhybrid.run_folder import claim_folder, claim_next
from qhybrid.sampling.sample_run import SamplingPlan, SamplingRun
from qhybrid.training.devices import choose_device, suitable_threads
from qhybrid.training.environment import git_revision, package_versions
from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime import get_backend

FRAMES = 32
"""Moments that the animation shows."""

GRID_IMAGES = 100
"""The most images on the grid and in the animation; images.npz has all."""


def run_sampling(
    plan: SamplingPlan, *, folder: Path | None, console: Console | None
) -> SamplingRun:
    """Draw the images of a plan.

    Args:
        plan: What to draw.
        folder: Where to, or None for the next free folder of the training run.
        console: Where progress is shown, or None.

    Raises:
        RequestError: The device or the model cannot be had, or the folder is not free.
    """
    console = console or Console(quiet=True)
    device = choose_device(plan.device)
    spec = read_spec(plan.run.folder)
    model = load_model(plan.run.folder, get_backend(plan.backend)).to(device).eval()
    if folder is not None:
        run = SamplingRun(claim_folder(folder))
    else:
        run = SamplingRun(claim_next(plan.run.samplings, plan.sampler))
    try:
        _fill(run, plan, spec, model, device, console)
    except BaseException:
        with suppress(OSError):  # a folder with something in it stays
            run.folder.rmdir()
        raise
    return run


def _fill(
    run: SamplingRun,
    plan: SamplingPlan,
    spec: ModelSpec,
    model: nn.Module,
    device: str,
    console: Console,
) -> None:
    began = time.perf_counter()
    shape = (plan.num_images, spec.channels, spec.image_size, spec.image_size)
    with _progress(console) as progress, suitable_threads(device, spec.image_size):
        result = _draw(plan, model, shape, device, progress)
    _write(run, result)
    _write_manifest(run, plan, device, time.perf_counter() - began)


def _draw(
    plan: SamplingPlan,
    model: nn.Module,
    shape: tuple[int, int, int, int],
    device: str,
    progress: Progress,
) -> SampleResult:
    """Draw the images that are shown with their frames, then the others without, to save memory."""
    shown = min(plan.num_images, GRID_IMAGES)
    task = progress.add_task(f"{plan.num_images} images with {plan.sampler}", total=None)
    parts, done_before = [], 0
    for first, count, keep in ((0, shown, FRAMES), (shown, plan.num_images - shown, 0)):
        if not count:
            continue
        following = -(-(plan.num_images - first - count) // plan.batch_size) * plan.steps

        def show(done: int, total: int, base: int = done_before, rest: int = following) -> None:
            progress.update(task, completed=base + done, total=base + total + rest)

        part = sample(
            model,
            shape=(count, *shape[1:]),
            spec=plan.schedule,
            sampler=plan.sampler,
            steps=plan.steps,
            seed=plan.seed,
            first_index=first,
            device=device,
            batch_size=plan.batch_size,
            on_step=show,
            keep=keep,
        )
        done_before += -(-count // plan.batch_size) * plan.steps
        parts.append(part)
    images = torch.cat([part.images for part in parts])
    if not bool(images.isfinite().all()):
        raise QHybridError(
            f"the model of '{plan.run.folder}' draws values that are not numbers; train it again "
            "with a lower training.learning_rate"
        )
    return replace(parts[0], images=images)


def _write(run: SamplingRun, result: SampleResult) -> None:
    with replacing(run.images_file) as temporary:
        np.savez_compressed(temporary, images=to_uint8(result.images))
    save_grid(result.images[:GRID_IMAGES], run.grid_file)
    save_gif(result.frames or [], run.animation_file)


def _write_manifest(run: SamplingRun, plan: SamplingPlan, device: str, seconds: float) -> None:
    """Write the manifest last: a folder that has one is complete."""
    write_json(
        run.manifest_file,
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": str(plan.run.folder.resolve()),
            "model": plan.config.model.name,
            "images": plan.num_images,
            "seed": plan.seed,
            "sampler": plan.sampler,
            "steps": plan.steps,
            "backend": plan.backend,
            "device": device,
            "shots": None,
            "jobs": 0,
            "qpu_seconds": 0.0,
            "seconds": round(seconds, 3),
            "versions": package_versions(),
            "git_revision": git_revision(),
        },
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
