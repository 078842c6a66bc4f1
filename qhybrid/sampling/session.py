"""One sampling run: load the model, draw, and write the folder."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import nn

from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.kernels.announced import announced_compilation
from qhybrid.launcher import ALONE, Layout, check_devices
from qhybrid.models.model_file import read_spec
from qhybrid.printing import progress_bar
from qhybrid.run_lock import occupied
from qhybrid.sampling.bill import (
    Confirm,
    SamplingBill,
    left_to_pay,
    sampling_bill,
    with_noise,
)
from qhybrid.sampling.denoiser import LastStepsElsewhere, denoiser
from qhybrid.sampling.drawing import DrawingBar, draw_here, draw_side_by_side
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.manifest import write_manifest
from qhybrid.sampling.outcome import BillDeclined, SamplingInterrupted
from qhybrid.sampling.parts import Artist, assemble, read_part, save_plan
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.signals import handling, interrupt
from qhybrid.torch_device import choose_device
from qhybrid_circuits.errors import QHybridError, QpuLimitError, WriteError
from qhybrid_runtime import Backend, get_backend
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.hardware.billing import FREE_SECONDS
from qhybrid_runtime.hardware.mitigation import AUTO, USUAL, Name, front, pays


def run_sampling(
    plan: SamplingPlan,
    *,
    folder: Path | None,
    resumed: SamplingRun | None,
    confirm: Confirm | None,
    console: Console | None,
    stem: str | None = None,
    several: Layout = ALONE,
) -> SamplingRun:
    """Draw the images of a plan; the arguments are made of those of `sample_run`.

    Of several processes, this is the first.

    Raises:
        RequestError: The QPU or the model cannot be had, or the folder is not free.
        QpuLimitError: The bill was declined, or exceeds the limit that was set.
        SamplingInterrupted: Ctrl-C or SIGTERM.
        WriteError: The disk is full, or refuses; the message says what is safe.
    """
    console = console or Console(quiet=True)
    device, going_on = choose_device(plan.device), None if resumed is None else resumed.folder
    check_devices(several, device)
    root, stem = plan.run.samplings, stem or plan.sampler
    with (
        occupied(folder, "sampling into", root=root, stem=stem, resumed=going_on) as path,
        # As Ctrl-C, so that processes are ended, and the session on a QPU is closed.
        handling([signal.SIGTERM], interrupt),
    ):
        run = SamplingRun(path)
        plan = settled(plan, console)
        if plan.on_hardware:
            _sample_on_device(run, plan, device, confirm, console)
        else:
            simulator = get_backend(plan.backend, **plan.backend_options())
            model = denoiser(plan, simulator, device)
            with _resumable(run, plan):
                save_plan(run, plan)
                _fill(run, plan, model, device, console, simulator, several=several)
    return run


def _sample_on_device(
    run: SamplingRun, plan: SamplingPlan, device: str, confirm: Confirm | None, console: Console
) -> None:
    with _device_backend(plan, run) as backend:
        model = denoiser(plan, backend, device)
        bill = sampling_bill(plan, read_spec(plan.run.folder), _last(model), backend)
        spent = backend.ledger.spent_seconds
        # What a fake QPU measures is no job, but is billed as one.
        spent += plan.noise_seconds if run.noise_file.exists() and not plan.paid else 0.0
        _agree(left_to_pay(with_noise(bill, plan), spent), plan, confirm, console)
        # By its own name: the least busy QPU may be another one when the run is resumed.
        with _resumable(run, plan):
            save_plan(run, replace(plan, backend=backend.qpu.name))
            _fill(run, plan, model, device, console, backend, bill=bill)


def settled(plan: SamplingPlan, console: Console) -> SamplingPlan:
    """Return a plan whose mitigation is chosen, where that was left to us.

    It is the most accurate of those that pay for these circuits whose bill is within the QPU
    seconds allowed.
    """
    if plan.execution.mitigate != AUTO:
        return plan
    limit, chosen = plan.max_qpu_seconds, USUAL
    if plan.on_hardware:
        for chosen in front(fractional=bool(plan.execution.fractional)):
            bill = dry_run(_mitigated(plan, chosen)).bill
            within = limit is None or bill.qpu_seconds <= limit
            if within and pays(chosen, bill.success_probability):
                break
    console.print(f"mitigation: {chosen}", highlight=False)
    return _mitigated(plan, chosen)


def _mitigated(plan: SamplingPlan, name: Name) -> SamplingPlan:
    return replace(plan, execution=replace(plan.execution, mitigate=name))


def dry_run(plan: SamplingPlan) -> SamplingBill:
    """Return the bill of a plan; nothing is submitted or written."""
    plan = settled(plan, Console(quiet=True))
    with _device_backend(plan, None) as backend:
        model = denoiser(plan, backend, "cpu")
        spec = read_spec(plan.run.folder)
        bill = sampling_bill(plan, spec, _last(model), backend, ask=plan.paid)
        return with_noise(bill, plan)


@contextmanager
def _resumable(run: SamplingRun, plan: SamplingPlan) -> Iterator[None]:
    """Say what is kept, and how to go on, when something stops a run."""
    what = "finished rounds are on record" if plan.on_hardware else "finished batches are kept"
    going_on = run.going_on(plan.run)
    try:
        yield
    except WriteError as error:
        following = f"{what}; make room, then {going_on}"
        if not run.plan_file.exists():
            following = "nothing was begun; make room, or choose another folder with --out"
        raise WriteError(f"{error}; {following}") from error
    except KeyboardInterrupt as interruption:
        raise SamplingInterrupted(f"{what}; {going_on}") from interruption
    except QpuLimitError as error:
        raise QpuLimitError(f"{error}: {run.resume_command(plan.run)}") from error
    except QHybridError as error:
        if plan.on_hardware:
            raise type(error)(f"{error}; {what}; {going_on}") from error
        if not run.parts_folder.exists():
            run.plan_file.unlink(missing_ok=True)  # so that no empty folder is left
        raise


def _device_backend(plan: SamplingPlan, run: SamplingRun | None) -> QpuBackend:
    limit = plan.max_qpu_seconds
    if limit is not None:
        limit -= 0.0 if plan.paid else plan.noise_seconds
        if limit < (plan.noise_seconds if plan.paid else 0.0):
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
    console.print(
        f"{qpu.described}: {bill.rounds} rounds, {bill.bill.jobs} jobs, "
        f"{bill.bill.executions:,} executions, {qpu.costs(bill.bill.qpu_seconds)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if qpu.simulated or bill.bill.qpu_seconds <= FREE_SECONDS:
        return
    if confirm is None or not confirm(bill):
        raise BillDeclined(
            f"{qpu.costs(bill.bill.qpu_seconds)} on {qpu.name} were not agreed to; "
            "nothing was submitted; add --yes, or use fewer --num-images, --steps or --shots"
        )


def _fill(
    run: SamplingRun,
    plan: SamplingPlan,
    model: nn.Module,
    device: str,
    console: Console,
    backend: Backend,
    *,
    several: Layout = ALONE,
    bill: SamplingBill | None = None,
) -> None:
    """Draw the parts that are missing, and put all of them together."""
    began = time.perf_counter()
    announce = partial(console.print, highlight=False, markup=False)
    with _shown(backend, None, console):
        file, seed = plan.pool_file(run), plan.seed
        noise = open_noise(plan.noise, file, seed=seed, backend=backend, announce=announce)
    missing = [part for part in plan.parts if read_part(run, plan, part) is None]
    done = sum(map(len, plan.parts)) - sum(map(len, missing))
    columns = TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[job]}")
    with (
        announced_compilation(console),
        progress_bar(console, *columns) as progress,
        _shown(backend, progress, console, bill),
    ):
        bar = DrawingBar(progress, plan, done)
        artist = Artist(plan, model, device, noise, run)
        if several.size > 1:
            # One process has no use for Lightning, which takes two seconds to import.
            from qhybrid.sampling.sharing import draw_together

            draw_together(artist, missing, bar, several)
        elif plan.processes > 1 and len(missing) > 1:
            draw_side_by_side(run, plan, device, missing, bar)
        else:
            draw_here(artist, missing, bar.add)
    assemble(run, plan)
    write_manifest(run, plan, device, time.perf_counter() - began, backend, bill)
    run.clear_parts()


@contextmanager
def _shown(
    backend: Backend,
    progress: Progress | None,
    console: Console,
    bill: SamplingBill | None = None,
) -> Iterator[None]:
    """Show what becomes of jobs: on the bar, or, without a terminal, a line per job."""
    if not isinstance(backend, QpuBackend):
        yield
        return
    from qhybrid_runtime.hardware.job_client import JobEvent

    def show(event: JobEvent) -> None:
        queue = "" if event.pending_jobs is None else f", {event.pending_jobs} jobs waiting"
        text = f"{event.status.lower()}{queue}"
        if backend.qpu.priced and not backend.qpu.simulated:
            text += f", {event.spent_seconds:.0f} QPU s"
        if bill is not None:  # The pool of noise is one more.
            text += f", round {min(backend.ledger.num_rounds, bill.rounds)} of {bill.rounds}"
        if event.note:
            console.print(event.note, highlight=False, markup=False, soft_wrap=True)
        elif console.is_terminal and progress is not None:
            progress.update(progress.task_ids[0], job=text)
        elif not backend.qpu.simulated:
            where = "" if event.qpu is None else f" on {event.qpu}"
            console.print(f"{event.job_id}{where}: {text}", highlight=False, markup=False)

    backend.listen(show)
    try:
        yield
    finally:
        backend.listen(None)
