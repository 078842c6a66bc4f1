"""From runs to a comparison: every figure of every model, and a verdict for every pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhybrid.comparison.circuits import RunCircuits, qpu_costs, run_circuits
from qhybrid.comparison.evaluations import evaluate_missing
from qhybrid.comparison.figures import Figure, evaluation_figures, loss_figure
from qhybrid.comparison.models import Model, differing, find_models
from qhybrid.comparison.training_log import TrainingLog, read_log
from qhybrid.comparison.verdict import LEVEL, compare_values, interval
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.report.devices import ALL, check_target_names
from qhybrid.version import __version__
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str], None]
"""Called with what is being worked on."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A comparison and what its page is drawn from.

    Attributes:
        content: Every figure, as values that JSON has; docs/comparison.md says what is in it.
        models: The models.
        logs: The log of each seed of each model.
    """

    content: dict[str, Any]
    models: tuple[Model, ...]
    logs: tuple[tuple[TrainingLog, ...], ...]


def compare(
    paths: Sequence[Path | str],
    *,
    targets: Sequence[str] = (),
    evaluation: EvaluationRequest | None = None,
    progress: Progress | None = None,
    console: "Console | None" = None,
) -> Comparison:
    """Compare models, each with as many seeds as there are runs of it.

    Args:
        paths: Runs, groups of runs, or folders of them; see `find_models`.
        targets: QPUs to tell the costs on.
        evaluation: Evaluate so the runs that were not; None takes the evaluations that are there.
        progress: Called with what is being worked on.
        console: Where evaluations show their progress.

    Raises:
        RequestError: There are not two models, or a name is not known.
    """
    tell = progress or (lambda _: None)
    check_target_names(targets)
    if ALL in targets:
        raise RequestError("compare takes QPUs by their names; leave out --target all")
    if evaluation is not None:
        evaluation.check()
    models, notes = find_models(paths)
    logs = tuple(tuple(read_log(each.run) for each in model.seeds) for model in models)
    runs = [each.run for model in models for each in model.seeds]
    for number, run in enumerate(runs if evaluation is not None else (), start=1):
        tell(f"evaluating {run.folder} ({number} of {len(runs)})")
        evaluate_missing(run, evaluation or EvaluationRequest(), console)
    circuits: list[list[RunCircuits]] = []
    for model in models:
        tell(f"circuits of {model.name}")
        circuits.append([run_circuits(each.run) for each in model.seeds])
    costs: list[list[dict[str, Any]]] = [[] for _ in models]
    if targets:
        for number, model in enumerate(models):
            tell(f"costs of {model.name}")
            costs[number] = qpu_costs(model.seeds[0].run, targets)
    figures, more = evaluation_figures(models)
    figures = [loss_figure(models, logs), *figures]
    verdicts, settings = _verdicts(models, figures), _settings(models)
    content = {
        "qhybrid": __version__,
        "level": LEVEL,
        "models": [_model(*each) for each in zip(models, logs, circuits, costs, strict=True)],
        "figures": [_figure(models, figure) for figure in figures],
        "verdicts": verdicts,
        "comparisons": len(verdicts),
        "settings": settings,
        "notes": [*_warning(settings), *notes, *more, *_uncompared(models, figures)],
    }
    return Comparison(content, models, logs)


def _model(
    model: Model,
    logs: Sequence[TrainingLog],
    circuits: Sequence[RunCircuits],
    costs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    influences = [each.influence for each in circuits if each.influence is not None]
    grids = sorted(model.seeds[0].run.samples.glob("epoch-*.png"))
    return {
        "name": model.name,
        "network": model.config.model.name,
        "runs": [{"folder": str(each.run.folder), "seed": each.seed} for each in model.seeds],
        "parameters": circuits[0].parameters,
        "circuit_weights": circuits[0].weights,
        "dead_weights": circuits[0].dead,
        "circuit_influence": spread(influences) if influences else None,
        "seconds_per_step": spread([log.seconds_per_step for log in logs]),
        "costs": list(costs),
        "grid": str(grids[-1]) if grids else None,
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return values, one per seed, with their mean and its 95 % interval, None for one seed."""
    mean, low, high = interval(values)
    return {"values": list(values), "mean": mean, "low": _finite(low), "high": _finite(high)}


def _figure(models: Sequence[Model], figure: Figure) -> dict[str, Any]:
    named = zip(models, figure.values, strict=True)
    return {
        "name": figure.name,
        "measured": figure.measured,
        "better": figure.better,
        "models": {model.name: spread(values) if values else None for model, values in named},
    }


def _verdicts(models: Sequence[Model], figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the verdict on each figure for each pair of models that it can be compared for."""
    found = []
    for figure in figures:
        if figure.better is None:
            continue
        for first, second in combinations(range(len(models)), 2):
            ours, theirs = figure.values[first], figure.values[second]
            if figure.comparable[first] != figure.comparable[second] or not (ours and theirs):
                continue
            verdict = compare_values(ours, theirs, lower_is_better=figure.better == "lower")
            fields = {**asdict(verdict), "low": _finite(verdict.low), "high": _finite(verdict.high)}
            names = {"first": models[first].name, "second": models[second].name}
            found.append(
                {
                    "figure": figure.name,
                    "measured": figure.measured,
                    **names,
                    **fields,
                    "sentence": verdict.sentence,
                }
            )
    return found


def _settings(models: Sequence[Model]) -> dict[str, list[Any]]:
    """Return the settings outside the model that differ, one value per model."""
    found = differing([model.settings for model in models])
    return {key: values for key, values in found.items() if not key.startswith("model.")}


def _warning(settings: Mapping[str, Any]) -> list[str]:
    if not settings:
        return []
    return [f"models differ in more than the model: {', '.join(settings)}; verdicts are on it all"]


def _uncompared(models: Sequence[Model], figures: Sequence[Figure]) -> list[str]:
    """Return notes on the figures that do not mean the same for all models."""
    return [
        f"{figure.name} is not compared between models of different images, diffusion or process"
        for figure in figures
        if len(set(figure.comparable)) > 1
    ]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
