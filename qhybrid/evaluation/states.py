"""The evaluation of drawn quantum states: figures of fidelities with the states of the data."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from qhybrid.data.states import load_states, read_states
from qhybrid.evaluation.bootstrap import Estimate, resample
from qhybrid.evaluation.drawing import drawn
from qhybrid.evaluation.evaluation import Evaluation, FigureResult
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.evaluation.results_folder import claimed
from qhybrid.evaluation.subject import Subject
from qhybrid.files import sealed, write_json
from qhybrid.printing import print_lines
from qhybrid.run_folder import open_run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.settings.sections import DataSection
from qhybrid.states.losses import fidelity
from qhybrid_circuits.errors import RequestError

MOST_PAIRED = 500
"""States of each side that the Wasserstein distance pairs; its time grows with the cube."""

_RESAMPLES = 100
_FEATURES = "states"


def run_evaluation(
    subject: Subject | None,
    array: NDArray[np.uint8] | None,
    data: DataSection,
    request: EvaluationRequest,
    out: Path | str | None,
    console: Console | None,
) -> Evaluation:
    """Evaluate; the arguments are made of those of `evaluate`.

    Raises:
        RequestError: The states cannot be had, or do not fit together.
    """
    console = console or Console(quiet=True)
    if subject is None or subject.kind == "folder":
        raise RequestError(
            f"'{data.dataset}' holds quantum states; give a run of a model of such, a sampling "
            "run, or FILE.npz with complex (N, d) under `states`"
        )
    if request.features != EvaluationRequest.features or request.weights is not None:
        raise RequestError(
            "--features and --weights are for images, but quantum states are compared by their "
            "fidelities; leave them out"
        )
    reference, others = _real_states(data, request)
    if subject.kind == "run":
        sampling = drawn(open_run(subject.path), request, console)
        print_lines(console, {"states": str(sampling.folder)})
        subject = replace(subject, kind="sampling", path=sampling.folder)
    file = SamplingRun(subject.path).states_file if subject.kind == "sampling" else subject.path
    found = torch.from_numpy(read_states(file, "states", str(file)))[: request.num_images]
    if found.shape[1] != reference.shape[1]:
        raise RequestError(
            f"'{file}' has states of {found.shape[1]} amplitudes, but those of '{data.dataset}' "
            f"have {reference.shape[1]}; choose others with --dataset"
        )
    with claimed(subject, out) as folder:
        figures = tuple(state_figures(found, reference, others, request.reference))
        evaluation = Evaluation(
            subject=str(subject.path),
            dataset=data.dataset,
            figures=figures,
            memorization=None,
            features={_FEATURES: "fidelities of pure states"},
            notes=(),
            folder=folder,
        )
        write_json(evaluation.results_file, sealed(evaluation.to_dict()))
    return evaluation


def _real_states(data: DataSection, request: EvaluationRequest) -> tuple[Tensor, Tensor]:
    """Return the reference and other states of the data, (N, d) each, for the floor."""
    options: dict[str, Any] = {"qubits": data.qubits, "spread": data.spread}
    try:
        test = load_states(data.dataset, split="test", **options).vectors
        train = load_states(data.dataset, limit=data.limit, **options).vectors
        return (train, test) if request.reference == "train" else (test, train)
    except RequestError:
        if request.reference == "test":
            raise
    # A file without states for the test: one half against the other.
    every = load_states(data.dataset, limit=data.limit, **options).vectors
    if len(every) < 2:
        raise RequestError(f"'{data.dataset}' has a single state, with which nothing is compared")
    return every[::2], every[1::2]


def state_figures(
    found: Tensor, reference: Tensor, others: Tensor, split: str
) -> Iterator[FigureResult]:
    """Yield the figures of state vectors (N, d), with a floor of others of the data.

    `fidelity` is that of the two mean states. `MMD` is the squared maximum mean discrepancy with
    the kernel |<psi|phi>|^2, unbiased, which is Tr (rho - sigma)^2 of the mean states. These two
    see the mean states alone; `Wasserstein` sees how states are spread: the least mean of
    1 - |<psi|phi>|^2 over all ways to pair drawn states with states of the data (Zhang et al.
    2024).
    """
    counts = resample(len(found), _RESAMPLES).double()
    figures: tuple[tuple[str, Callable[..., float], float, float], ...] = (
        ("fidelity", _fidelity, 0.0, 1.0),
        ("MMD", _mmd, -1.0, 2.0),
        ("Wasserstein", _wasserstein, 0.0, 1.0),
    )
    for name, figure, least, most in figures:
        value = figure(found, reference)
        rows = [torch.repeat_interleave(torch.arange(len(found)), each.long()) for each in counts]
        shuffled = (_shuffled(each) for each in rows)
        spread = torch.tensor([figure(found[each], reference) for each in shuffled])
        low, high = Estimate(value, spread).interval(least, most)
        yield FigureResult(
            name,
            _FEATURES,
            value,
            low,
            high,
            figure(others, reference),
            len(found),
            split,
            len(reference),
            len(others),
        )


def _mean(states: Tensor) -> Tensor:
    mean: Tensor = states.T @ states.conj() / len(states)
    return mean


def _fidelity(first: Tensor, second: Tensor) -> float:
    return float(fidelity(_mean(first), _mean(second)))


def _mmd(first: Tensor, second: Tensor) -> float:
    """Return the unbiased estimate; sums of kernels over all pairs are traces of mean states."""
    rho, sigma = _mean(first), _mean(second)

    def within(mean: Tensor, count: int) -> float:
        # Without the pairs of a state and itself, each 1.
        return (count * float((mean @ mean).trace().real) - 1) / (count - 1)

    cross = float((rho @ sigma).trace().real)
    return within(rho, len(first)) + within(sigma, len(second)) - 2 * cross


def _wasserstein(first: Tensor, second: Tensor) -> float:
    count = min(len(first), len(second), MOST_PAIRED)
    costs = 1 - (first[:count].conj() @ second[:count].T).abs().square().numpy()
    return float(costs[linear_sum_assignment(costs)].mean())


def _shuffled(rows: Tensor) -> Tensor:
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
