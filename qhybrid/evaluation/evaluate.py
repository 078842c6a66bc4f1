"""The way into evaluation: what can be refused without torch is refused before it is imported."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qhybrid.data.catalog import dataset_kind
from qhybrid.evaluation.drawing import check_drawing, drawn
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.evaluation.results_folder import check_results_folder
from qhybrid.evaluation.subject import Subject, find_subject
from qhybrid.launcher import layout
from qhybrid.models.rows import MODELS
from qhybrid.run_folder import Run
from qhybrid.sampling.outcome import SamplingInterrupted
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import load_reference

if TYPE_CHECKING:
    from rich.console import Console

    from qhybrid.evaluation.evaluation import Evaluation


def evaluate(
    subject: Path | str | NDArray[np.uint8],
    request: EvaluationRequest | None = None,
    *,
    out: Path | str | None = None,
    console: "Console | None" = None,
) -> "Evaluation":
    """Compare generated images with real ones.

    Of several processes that torchrun, srun or mpirun started, all draw the images of a run; the
    first one compares them, and the others end here.

    Args:
        subject: A training run, whose images are drawn first; a sampling run; a folder of images;
            an npz file with uint8 (N, H, W, C) under `images`; or such an array.
        request: How.
        out: New folder for the results; None takes `evaluation-N` in the sampling run, or
            `evaluations/NAME-N`.
        console: Where progress is shown; None shows nothing.

    Raises:
        RequestError: The request is wrong, or the images are not what they must be.
        SamplingInterrupted: Ctrl-C, or SIGTERM while images are drawn; the same request goes on.
        SystemExit: See above.

    Example:
        >>> import qhybrid
        >>> from qhybrid.evaluation.request import EvaluationRequest
        >>> digits = qhybrid.load_dataset("digits", classes=[0, 1]).images[:100].numpy()
        >>> request = EvaluationRequest(dataset="digits", classes="0,1")
        >>> result = qhybrid.evaluate(digits, request, out="evaluated")
        >>> (result.folder / "evaluation.json").exists()
        True
    """
    request = request or EvaluationRequest()
    request.check()
    found = None if isinstance(subject, np.ndarray) else find_subject(subject)
    data = _real_images(found, request)
    if found is not None and found.run is not None:
        _check_kind(found.run, data)
    if found is not None and found.kind == "run" and found.run is not None:
        check_drawing(found.run, request)
    elif request.drawing():
        raise RequestError(
            f"--{next(iter(request.drawing()))} is for a run, whose images are drawn, but these "
            "images are drawn already; leave it out"
        )
    if not layout(None, None).first:
        if found is not None and found.kind == "run" and found.run is not None:
            drawn(found.run, request, None)
        raise SystemExit(0)
    if out is not None:
        check_results_folder(out)
    with nullcontext() if console is None else console.status("loading torch"):
        run_evaluation = load_reference(dataset_kind(data.dataset).evaluation)

    images = subject if isinstance(subject, np.ndarray) else None
    try:
        evaluation: Evaluation = run_evaluation(found, images, data, request, out, console)
    except KeyboardInterrupt as interruption:
        if found is None or found.kind != "run":
            raise
        kept = "images that were drawn are kept; the same command goes on"
        raise SamplingInterrupted(kept) from interruption
    return evaluation


def _check_kind(run: Run, data: DataSection) -> None:
    """Refuse to compare images with quantum states."""
    process, held = MODELS[run.config().model.name].process, dataset_kind(data.dataset)
    if held is not process.kind:
        raise RequestError(
            f"'{run.folder}' draws {process.kind.name}, but '{data.dataset}' holds {held.name}; "
            "leave --dataset out, or name another"
        )


def _real_images(subject: Subject | None, request: EvaluationRequest) -> DataSection:
    """Return what is said of the real images, by the request or by the run.

    Raises:
        RequestError: Nothing is known of them.
    """
    data = request.data_section()
    if data is not None:
        return data
    if subject is not None and subject.run is not None:
        return subject.run.config().data
    what = "an array" if subject is None else f"'{subject.path}'"
    raise RequestError(
        f"{what} does not say which real images to compare with; name them with --dataset "
        "NAME|FILE.npz|FOLDER"
    )
