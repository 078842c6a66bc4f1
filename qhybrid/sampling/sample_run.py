"""The way into sampling: everything that can be refused is refused before torch is imported."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.files import check_links, user_path
from qhybrid.kernels.beside import compiled_beside, needed
from qhybrid.launcher import Layout, layout
from qhybrid.models.model_file import read_spec
from qhybrid.run_folder import Run, check_free, open_run
from qhybrid.sampling.folder import SamplingRun, unfinished
from qhybrid.sampling.plan import SamplingPlan, plan_sampling
from qhybrid.sampling.request import SamplingRequest
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.mitigation import AUTO

if TYPE_CHECKING:
    from rich.console import Console

    from qhybrid.sampling.bill import SamplingBill

CHANGEABLE = frozenset({"device", "processes", "execution", "max_qpu_seconds", "max_wait_seconds"})
"""What a resumed sampling run may change; the parts of its execution are compared one by one."""


def sample_run(
    run: Run | Path | str,
    request: SamplingRequest | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    stem: str | None = None,
    confirm: "Callable[[SamplingBill], bool] | None" = None,
    console: "Console | None" = None,
) -> SamplingRun:
    """Draw images from a training run's EMA weights.

    Of several processes that torchrun, srun or mpirun started, each draws its share.

    Args:
        run: The training run or its folder.
        request: What to draw.
        out: The new sampling run's folder; None takes `RUN/samplings/SAMPLER-N`.
        resume: Go on with the sampling run in `out`, or with the newest unfinished one; what is
            on record is not drawn again. The request may be left out.
        stem: The new folder's name in `RUN/samplings` without its number; None: the sampler's.
        confirm: Asked before more than a minute of QPU time is spent; without it the request is
            refused then.
        console: Where progress is shown; None shows nothing.

    Raises:
        RequestError: The request is wrong, or the folder is not a run with a model in it.
        QpuLimitError: The bill was declined, or exceeds the limit that was set.
        SamplingInterrupted: Ctrl-C or SIGTERM; the message says how to go on.

    Example:
        >>> import numpy as np
        >>> import qhybrid
        >>> request = qhybrid.SamplingRequest(num_images=2, steps=1, seed=0)
        >>> drawn = qhybrid.sample_run("runs/1hqconv-qvunet-digits-1", request, out="drawn")
        >>> np.load(drawn.images_file)["images"].shape
        (2, 8, 8, 1)
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    request = request or SamplingRequest()
    check_links(run.folder)
    folder = None if out is None else user_path(out)
    sampling = unfinished(run, out) if resume else None
    if sampling is not None:
        check_links(sampling.folder)
    plan = _resumed(run, request, sampling) if sampling else plan_sampling(run, request)
    several = layout(None, None)
    check_sharing(plan, several)
    if folder is not None and not resume and several.first:
        check_free(folder)
    if not several.first:
        from qhybrid.sampling.sharing import help_drawing

        return help_drawing(plan, several)
    spec = read_spec(run.folder)
    with compiled_beside(needed(spec.row, spec.image_size, plan.device, plan.backend)):
        with nullcontext() if console is None else console.status("loading torch"):
            from qhybrid.sampling.session import run_sampling

        return run_sampling(
            plan,
            folder=folder,
            stem=stem,
            resumed=sampling,
            confirm=confirm,
            console=console,
            several=several,
        )


def check_sharing(plan: SamplingPlan, several: Layout) -> None:
    """Refuse what several processes that a launcher started cannot draw.

    Raises:
        RequestError: It runs as jobs, or in processes of its own.
    """
    if several.size > 1 and plan.on_hardware:
        raise RequestError(
            f"{several.program} started {several.size} processes, but the backend "
            f"'{plan.backend}' takes all images at once; start one process"
        )
    if several.size > 1 and plan.processes > 1:
        raise RequestError(
            f"{several.program} started {several.size} processes already; leave --processes out"
        )


def bill_of(run: Run | Path | str, request: SamplingRequest) -> "SamplingBill":
    """Return what a request would cost on a QPU; nothing is submitted.

    Raises:
        RequestError: The request is wrong, or its backend is not a QPU.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    plan = plan_sampling(run, request)
    if not plan.on_hardware:
        raise RequestError(
            f"--dry-run is for devices, but the backend '{plan.backend}' costs nothing; use "
            "`fake_...` or `ibm...`"
        )
    from qhybrid.sampling.session import dry_run

    return dry_run(plan)


def _resumed(run: Run, request: SamplingRequest, sampling: SamplingRun) -> SamplingPlan:
    """Return the plan of an unfinished sampling run; what is asked for again must agree."""
    kept = sampling.plan()
    usual = {**asdict(PrimitiveSettings()), "pack": 1, "fractional": False}
    started = {**vars(kept), **usual, **kept.execution.given()}
    for name, value in {**vars(request), **asdict(request.execution)}.items():
        before = started.get(name)
        if name == "mitigate" and value == AUTO:
            continue  # It was settled when the run began.
        if name not in CHANGEABLE and value is not None and value != before:
            was = "without it" if before is None else f"with {before}"
            raise RequestError(
                f"--{name.replace('_', '-')} {value} does not fit the sampling run in "
                f"'{sampling.folder}', which was started {was}; leave it out, or start another "
                "one without --resume"
            )
    free = ("device", "processes", "max_qpu_seconds", "max_wait_seconds")
    plan = plan_sampling(run, replace(kept, **{name: getattr(request, name) for name in free}))
    weights = sampling.kept_plan().get("weights", plan.weights_sha256)
    if weights != plan.weights_sha256:
        raise RequestError(
            f"the sampling run in '{sampling.folder}' was begun with other weights than those that "
            f"'{run.folder}' has now; start another one without --resume"
        )
    return plan
