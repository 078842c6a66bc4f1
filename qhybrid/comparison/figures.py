"""The figures that models are compared by: their values, one per seed, and which is better."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qhybrid.comparison.evaluations import FoundFigure, Measurement, run_figures
from qhybrid.comparison.models import Model
from qhybrid.comparison.training_log import TrainingLog
from qhybrid.models.rows import MODELS

Better = Literal["lower", "higher"]

DIRECTIONS: Mapping[str, Better | None] = {
    "FID": "lower",
    "KID": "lower",
    "IS": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "SSIM": None,
    "fidelity": "higher",
    "MMD": "lower",
    "Wasserstein": "lower",
}
"""Which value of an evaluation's figure is better; None where it is no measure of quality."""


@dataclass(frozen=True)
class Figure:
    """A figure of several models.

    Attributes:
        name: What it is called.
        measured: How, for people.
        better: Which value is better; None where there is no verdict on it.
        values: Of each model, one per seed that has it.
        comparable: Which models' values mean the same; models with another number are not compared.
    """

    name: str
    measured: str
    better: Better | None
    values: tuple[tuple[float, ...], ...]
    comparable: tuple[int, ...]


def loss_figure(models: Sequence[Model], logs: Sequence[Sequence[TrainingLog]]) -> Figure:
    """Return the training loss, which means the same for equal images, diffusion and process."""
    keys = [
        repr((each.config.data, each.config.diffusion, MODELS[each.config.model.name].process))
        for each in models
    ]
    order = list(dict.fromkeys(keys))
    values = tuple(tuple(log.final_loss for log in each) for each in logs)
    comparable = tuple(order.index(key) for key in keys)
    return Figure("loss", "training loss, mean of the last epoch", "lower", values, comparable)


def evaluation_figures(models: Sequence[Model]) -> tuple[list[Figure], list[str]]:
    """Return the figures of the evaluations in the runs' folders, and notes on what is left out.

    Of each figure, the measurement that most runs have is taken, and of these that of most images.
    """
    notes: list[str] = []
    found: list[list[dict[Measurement, FoundFigure]]] = []
    for model in models:
        read = [run_figures(each.run) for each in model.seeds]
        found.append([figures for figures, _ in read])
        notes += [note for _, more in read for note in more]
    chosen, left_out = _choose(Counter(each for runs in found for run in runs for each in run))
    missing: dict[tuple[str, str], list[str]] = {}
    figures = []
    for each in chosen:
        values = tuple(tuple(run[each].value for run in runs if each in run) for runs in found)
        better = DIRECTIONS.get(each.name.rpartition("-")[2])
        figures.append(Figure(each.name, each.text, better, values, (0,) * len(models)))
        without = " and ".join(
            f"{len(runs) - len(known)} of {len(runs)} runs of {model.name}"
            for model, runs, known in zip(models, found, values, strict=True)
            if len(known) < len(runs)
        )
        if without:
            missing.setdefault((each.text, without), []).append(each.name)
    notes += left_out
    notes += [
        f"{', '.join(names)} ({text}): missing for {without}; --evaluate adds them"
        for (text, without), names in missing.items()
    ]
    return figures, [*notes, *_drawn_differently(models, found)]


def _choose(counts: Counter[Measurement]) -> tuple[list[Measurement], list[str]]:
    """Return one measurement of each figure, in the order of the counts, and notes on the others.

    `counts` is the number of runs that have a measurement.
    """
    taken: dict[tuple[str, str], Measurement] = {}
    others: dict[tuple[str, str], list[str]] = {}
    for each in sorted(counts, key=lambda each: (counts[each], each), reverse=True):
        first = taken.setdefault((each.name, each.features), each)
        if first != each:
            others.setdefault((each.text, first.text), []).append(each.name)
    notes = [
        f"{', '.join(names)} ({text}): left out, since more runs have, or more images are in, "
        f"{instead}, which is not comparable"
        for (text, instead), names in others.items()
    ]
    return [each for each in counts if each in taken.values()], notes


def _drawn_differently(
    models: Sequence[Model], found: Sequence[Sequence[Mapping[Measurement, FoundFigure]]]
) -> list[str]:
    """Return a note where images were drawn in different ways, their seeds left out."""
    ways = {
        model.name: {each.drawn.rpartition(",")[0] for run in runs for each in run.values()}
        for model, runs in zip(models, found, strict=True)
    }
    if len(set().union(*ways.values())) < 2:
        return []
    told = "; ".join(f"{name}: {' and '.join(sorted(each))}" for name, each in ways.items() if each)
    return [f"images were drawn in different ways: {told}"]
