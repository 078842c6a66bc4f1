"""Images of a training run: drawn once, and found again by whoever asks for the same."""

import hashlib
import json
from typing import TYPE_CHECKING

from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.launcher import layout
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import EVALUATE, SamplingRun
from qhybrid.sampling.plan import SamplingPlan, plan_sampling
from qhybrid.sampling.sample_run import sample_run
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.registry import check_backend_name

if TYPE_CHECKING:
    from rich.console import Console


def check_drawing(run: Run, request: EvaluationRequest) -> SamplingPlan:
    """Return how a run's images are drawn.

    Raises:
        RequestError: The run has no model, a name or number is not allowed, or it would cost.
    """
    plan = plan_sampling(run, request.sampling())
    if check_backend_name(plan.backend).paid:
        raise RequestError(
            f"evaluate spends no QPU time, but the backend is '{plan.backend}'; draw with `qhybrid "
            f"sample {run.folder} --backend {plan.backend} --num-images N`, then evaluate the "
            "folder that it prints, or use --backend statevector"
        )
    return plan


def drawn(run: Run, request: EvaluationRequest, console: "Console | None") -> SamplingRun:
    """Return the sampling run of a request: the one that is there, else a new or a resumed one.

    It lies in `samplings/evaluate-KEY-N`; the key stands for the weights and for what makes the
    images.

    Raises:
        RequestError: The images cannot be drawn.
    """
    plan = check_drawing(run, request)
    digest = hashlib.sha256(json.dumps(plan.lasting(), sort_keys=True).encode())
    digest.update(plan.weights_file.read_bytes())
    stem = f"{EVALUATE}-{digest.hexdigest()[:10]}"
    known = [SamplingRun(folder) for folder in sorted(run.samplings.glob(f"{stem}-*"))]
    for sampling in known:
        if sampling.manifest_file.is_file() and sampling.drawn_file.is_file():
            sampling.clear_parts()
            return sampling
    if not layout(None, None).first:
        return sample_run(run, request.sampling())  # into the folder that the first one says
    unfinished = [sampling for sampling in known if sampling.plan_file.is_file()]
    if unfinished:
        folder = unfinished[-1].folder
        return sample_run(run, request.sampling(), out=folder, resume=True, console=console)
    return sample_run(run, request.sampling(), stem=stem, console=console)
