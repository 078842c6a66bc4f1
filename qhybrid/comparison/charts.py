"""Charts of a comparison: curves of the training loss, and figures with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhybrid.comparison.sections import spread_text
from qhybrid.comparison.training_log import TrainingLog
from qhybrid.report.curves import COLOURS, Curves, Series, draw_curves, thinned


@dataclass(frozen=True)
class Span:
    """A model's figure.

    Attributes:
        name: The model.
        colour: Number of its colour.
        mean: Per cent from the left.
        low: Where its interval begins, in per cent.
        width: Of its interval, in per cent.
        seeds: Where each seed is, in per cent.
        text: The numbers.
    """

    name: str
    colour: int
    mean: float
    low: float
    width: float
    seeds: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Spans:
    """A figure of all models that have it, from top to bottom."""

    title: str
    spans: tuple[Span, ...]


def loss_curves(names: Sequence[str], logs: Sequence[Sequence[TrainingLog]]) -> Curves:
    """Return the curves of models' training losses: means over seeds, and ranges of several."""
    series = []
    for name, each in zip(names, logs, strict=True):
        steps, losses = _table(each)
        band = (losses.min(0), losses.max(0)) if len(losses) > 1 else None
        series.append(Series(name, steps, losses.mean(0), band))
    note = (
        "By optimizer step, logarithmic; line: mean over seeds; band: from the lowest seed to the "
        "highest."
    )
    return draw_curves(series, label="Training loss by step", note=note, logarithmic=True)


def figure_spans(content: Mapping[str, Any]) -> list[Spans]:
    """Return a chart of each figure that a model has."""
    return [
        Spans(_title(figure), tuple(_spans(figure["models"])))
        for figure in content["figures"]
        if any(figure["models"].values())
    ]


def _title(figure: Mapping[str, Any]) -> str:
    better = f" ({figure['better']} is better)" if figure["better"] else ""
    return f"{figure['name']}{better}"


def _spans(models: Mapping[str, Mapping[str, Any] | None]) -> list[Span]:
    known = [each for each in models.values() if each is not None]
    drawn = [(*each["values"], each["low"], each["high"]) for each in known]
    ends: list[float] = [end for each in drawn for end in each if end is not None]
    low = min(ends)
    full = (max(ends) - low) or 1.0

    def at(value: float) -> float:
        return 3 + 94 * (value - low) / full

    spans = []
    for number, (name, each) in enumerate(models.items()):
        if each is None:
            continue
        within = [each["mean"] if each[key] is None else each[key] for key in ("low", "high")]
        begin, end = map(at, within)
        seeds = tuple(map(at, each["values"]))
        text = spread_text(each)
        spans.append(
            Span(name, number % COLOURS, at(each["mean"]), begin, end - begin, seeds, text)
        )
    return spans


def _table(logs: Sequence[TrainingLog]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return steps, (P,), and the losses of all seeds there, (S, P)."""
    steps = np.array(logs[0].steps, dtype=float)
    losses = np.stack([np.interp(steps, log.steps, log.losses) for log in logs])
    steps, losses = thinned(steps, losses)
    return steps, losses
