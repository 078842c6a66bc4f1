"""One sampling run: load the model, draw, and write the folder."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import nn

from qhybrid.compilation import announced_compilation
from qhybrid.diffusion.images import save_gif, save_grid, to_uint8
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.diffusion.sampling import SampleResult, sample
from qhybrid.diffusion.specs import P2Weighting
from qhybrid.environment import git_revision, package_versions
from qhybrid.files import replacing, sealed, write_json
from qhybrid.models.model_file import read_spec
from qhybrid.printing import progress_bar
from qhybrid.run_lock import occupied
from qhybrid.sampling.bill import (
    FREE_SECONDS,
    Confirm,
    SamplingBill,
    left_to_pay,
    sampling_bill,
    with_noise,
)
from qhybrid.sampling.denoiser import LastStepsElsewhere, denoiser
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.outcome import BillDeclined, SamplingInterrupted
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.signals import handling
from qhybrid.torch_device import choose_device, suitable_threads
from qhybrid_circuits.errors import QHybridError, QpuLimitError, WriteError
from qhybrid_runtime import Backend, get_backend
from qhybrid_runtime.backends.qpu import QpuBackend

FRAMES = 32
"""Moments that the animation shows."""

GRID_IMAGES = 100
"""The most images on the grid and in the animation; images.npz has all."""


def run_sampling(
    plan: SamplingPlan,
    *,
    folder: Path | None,
    resumed: SamplingRun | None,
    confirm: Confirm | None,
    console: Console | None,
) -> SamplingRun:
    """Draw the images of a plan; the arguments are made of those of `sample_run`.

    Raises:
        RequestError: The QPU or the model cannot be had, or the folder is not free.
        QpuLimitError: The bill was declined, or exceeds the limit that was set.
        SamplingInterrupted: Ctrl-C or SIGTERM on a QPU.
        WriteError: The disk is full, or refuses; the message says what is safe.
    """
    console = console or Console(quiet=True)
    device, going_on = choose_device(plan.device), None if resumed is None else resumed.folder
    root, stem = plan.run.samplings, plan.sampler
    with occupied(folder, "sampling into", root=root, stem=stem, resumed=going_on) as path:
        run = SamplingRun(path)
        if plan.on_hardware:
            _sample_on_device(run, plan, device, confirm, console)
        else:
            simulator = get_backend(plan.backend, **plan.backend_options())
            model = denoiser(plan, simulator, device)
            with _resumable(run, plan):
                _fill(run, plan, model, device, console, simulator)
    return run


def _sample_on_device(
    run: SamplingRun, plan: SamplingPlan, device: str, confirm: Confirm | None, console: Console
) -> None:
    with (
        # As Ctrl-C, so that the session on the device is closed.
        handling([signal.SIGTERM], signal.default_int_handler),
        _device_backend(plan, run) as backend,
    ):
        model = denoiser(plan, backend, device)
        bill = sampling_bill(plan, read_spec(plan.run.folder), _last(model), backend)
        spent = backend.ledger.spent_seconds
        spent += plan.noise_seconds if run.noise_file.exists() else 0.0
        _agree(left_to_pay(with_noise(bill, plan), spent), plan, confirm, console)
        # By its own name: the least busy QPU may be another one when the run is resumed.
        write_json(run.plan_file, sealed({**plan.lasting(), "backend": backend.qpu.name}))
        with _resumable(run, plan):
            _fill(run, plan, model, device, console, backend)


def dry_run(plan: SamplingPlan) -> SamplingBill:
    """Return the bill of a plan; nothing is submitted or written."""
    with _device_backend(plan, None) as backend:
        model = denoiser(plan, backend, "cpu")
        bill = sampling_bill(plan, read_spec(plan.run.folder), _last(model), backend)
        return with_noise(bill, plan)


@contextmanager
def _resumable(run: SamplingRun, plan: SamplingPlan) -> Iterator[None]:
    """Say what is kept, and how to go on, when something stops a run."""
    going_on = f"go on with: {run.resume_command(plan.run)}"
    try:
        yield
    except WriteError as error:
        kept = f"finished rounds are on record; make room, then {going_on}"
        if not plan.on_hardware:
            kept = "make room, then draw into another folder: the same seed draws the same images"
        raise WriteError(f"{error}; {kept}") from error
    except KeyboardInterrupt as interruption:
        if not plan.on_hardware:
            raise
        raise SamplingInterrupted(f"finished rounds are on record; {going_on}") from interruption
    except QpuLimitError as error:
        raise QpuLimitError(f"{error}: {run.resume_command(plan.run)}") from error
    except QHybridError as error:
        if not plan.on_hardware:
            raise
        raise type(error)(f"{error}; {going_on}") from error


def _device_backend(plan: SamplingPlan, run: SamplingRun | None) -> QpuBackend:
    limit = plan.max_qpu_seconds
    if limit is not None:
        limit -= plan.noise_seconds
        if limit < 0:
            raise QpuLimitError(
                f"the limit of {plan.max_qpu_seconds:g} QPU seconds: the noise alone is estimated "
                f"at {plan.noise_seconds:.0f} s; use a smaller --noise-pool, or a higher "
                "--max-qpu-seconds"
            )
    options = {**plan.backend_options(), "max_qpu_seconds": limit}
    if plan.max_wait_seconds is not None:
        options["max_wait_seconds"] = plan.max_wait_seconds
    ledger = None if run is None else run.jobs_folder
    backend = get_backend(plan.backend, **options, ledger=ledger)
    if not isinstance(backend, QpuBackend):
        raise QHybridError(f"the backend '{plan.backend}' is not a device")
    return backend


def _last(model: nn.Module) -> nn.Module:
    """Return the model that is on the device."""
    return model.last if isinstance(model, LastStepsElsewhere) else model


def _agree(
    bill: SamplingBill, plan: SamplingPlan, confirm: Confirm | None, console: Console
) -> None:
    """Say what will be spent, and ask where it is much."""
    qpu = bill.qpu
    where = "simulated here" if qpu.simulated else f"{qpu.plan or 'no'} plan, {qpu.mode}"
    console.print(
        f"{qpu.name} ({where}): {bill.rounds} rounds, {bill.bill.jobs} jobs, "
        f"{bill.bill.executions:,} executions, about {bill.bill.qpu_seconds:.0f} QPU seconds",
        highlight=False,
        markup=False,
    )
    if qpu.simulated or bill.bill.qpu_seconds <= FREE_SECONDS:
        return
    if confirm is None or not confirm(bill):
        raise BillDeclined(
            f"about {bill.bill.qpu_seconds:.0f} QPU seconds on {qpu.name} were not agreed to; "
            "nothing was submitted; add --yes, or use fewer --num-images, --steps or --shots"
        )


def _fill(
    run: SamplingRun,
    plan: SamplingPlan,
    model: nn.Module,
    device: str,
    console: Console,
    backend: Backend,
) -> None:
    began = time.perf_counter()
    announce = partial(console.print, highlight=False, markup=False)
    pool_file = plan.run.noise_file if plan.shares_pool else run.noise_file
    noise = open_noise(plan.noise, pool_file, seed=plan.seed, announce=announce)
    with (
        announced_compilation(console),
        progress_bar(console, TextColumn("steps"), TextColumn("{task.fields[job]}")) as progress,
        suitable_threads(device, read_spec(plan.run.folder).image_size),
        _shown(backend, progress, console),
    ):
        result = _draw(plan, model, device, progress, noise)
    arrays: dict[str, Any] = {"images": to_uint8(result.images)}
    if result.labels is not None:
        arrays["labels"] = result.labels.numpy()
    with replacing(run.images_file) as temporary:
        np.savez_compressed(temporary, **arrays)
    save_grid(result.images[:GRID_IMAGES], run.grid_file)
    save_gif([frame[:GRID_IMAGES] for frame in result.frames or []], run.animation_file)
    _write_manifest(run, plan, device, time.perf_counter() - began, backend)


@contextmanager
def _shown(backend: Backend, progress: Progress, console: Console) -> Iterator[None]:
    """Show what becomes of jobs: on the bar, or, without a terminal, a line per job."""
    if not isinstance(backend, QpuBackend):
        yield
        return
    from qhybrid_runtime.hardware.jobs import JobEvent

    def show(event: JobEvent) -> None:
        queue = "" if event.pending_jobs is None else f", {event.pending_jobs} jobs waiting"
        text = f"{event.status.lower()}{queue}, {event.spent_seconds:.0f} QPU s"
        if console.is_terminal:
            progress.update(progress.task_ids[0], job=text)
        elif not backend.qpu.simulated:
            console.print(f"{event.job_id}: {text}", highlight=False, markup=False)

    backend.listen(show)
    try:
        yield
    finally:
        backend.listen(None)


def _draw(
    plan: SamplingPlan, model: nn.Module, device: str, progress: Progress, noise: NoiseSource
) -> SampleResult:
    """Draw the images that are shown with their frames, then the others without, to save memory."""
    # On a QPU a round serves all images of a batch: drawing them in two parts would be two.
    shown = plan.num_images if plan.on_hardware else min(plan.num_images, GRID_IMAGES)
    task = progress.add_task(f"{plan.num_images} images with {plan.sampler}", total=None, job="")
    classes, spec = None if plan.classes is None else len(plan.classes), read_spec(plan.run.folder)
    process = spec.row.process.build(plan.schedule, P2Weighting(), classes)
    parts, done_before = [], 0
    for first, count, keep in ((0, shown, FRAMES), (shown, plan.num_images - shown, 0)):
        if not count:
            continue
        following = -(-(plan.num_images - first - count) // plan.batch_size) * plan.steps

        def show(done: int, total: int, base: int = done_before, rest: int = following) -> None:
            progress.update(task, completed=base + done, total=base + total + rest)

        part = sample(
            model,
            shape=(count, spec.channels, spec.image_size, spec.image_size),
            spec=plan.schedule,
            sampler=plan.sampler,
            steps=plan.steps,
            seed=plan.seed,
            first_index=first,
            device=device,
            batch_size=plan.batch_size,
            on_step=show,
            keep=keep,
            noise=noise,
            process=process,
        )
        done_before += -(-count // plan.batch_size) * plan.steps
        parts.append(part)
    images = torch.cat([part.images for part in parts])
    if not bool(images.isfinite().all()):
        raise QHybridError(
            f"the model of '{plan.run.folder}' draws values that are not numbers; train it again "
            "with a lower training.learning_rate"
        )
    labels = [part.labels for part in parts if part.labels is not None]
    return replace(parts[0], images=images, labels=torch.cat(labels) if labels else None)


def _write_manifest(
    run: SamplingRun, plan: SamplingPlan, device: str, seconds: float, backend: Backend
) -> None:
    """Write the manifest last: a folder that has one is complete."""
    write_json(
        run.manifest_file,
        {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": str(plan.run.folder.resolve()),
            "model": plan.config.model.name,
            "images": plan.num_images,
            **({} if plan.classes is None else {"classes": plan.classes}),
            "seed": plan.seed,
            "sampler": plan.sampler,
            "steps": plan.steps,
            **_noise(plan),
            "backend": plan.backend,
            "device": device,
            **_execution(plan, backend),
            "seconds": round(seconds, 3),
            "versions": package_versions(),
            "git_revision": git_revision(),
        },
    )


def _noise(plan: SamplingPlan) -> dict[str, Any]:
    """Return what the manifest says of the noise."""
    source = plan.noise.source
    measured = {
        "noise_backend": plan.noise.backend,
        "noise_pool": plan.noise.pool,
        "noise_qpu_seconds": round(plan.noise_seconds, 3),
    }
    return {"noise_source": source, **({} if source == "gaussian" else measured)}


def _execution(plan: SamplingPlan, backend: Backend) -> dict[str, Any]:
    """Return what the manifest says of circuits that are not exact."""
    if not isinstance(backend, QpuBackend):
        shots = None if backend.precision == 0 else round(backend.precision**-2)
        return {"shots": shots, "jobs": 0, "qpu_seconds": 0.0}
    return {
        "shots": backend.settings.shots,
        "primitive": backend.settings.primitive,
        "pack": backend.pack,
        "hardware_steps": plan.hardware_steps,
        "qpu": backend.qpu.name,
        "mode": backend.qpu.mode,
        "rounds": backend.rounds,
        "jobs": backend.ledger.num_jobs,
        "qpu_seconds": round(backend.ledger.spent_seconds, 3),
    }
