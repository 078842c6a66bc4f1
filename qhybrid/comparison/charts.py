"""Charts of a comparison: curves of the training loss, and figures with their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhybrid.comparison.sections import spread_text
from qhybrid.comparison.training_log import TrainingLog

COLOURS = 6
"""Of models; further ones begin anew."""

_POINTS = 120
"""Of a curve at most; rows between them are averaged."""


@dataclass(frozen=True)
class Tick:
    """A number beside an axis, and where: per cent from the left, or from the top."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """The loss of a model in a square of 100 x 100.

    Attributes:
        name: The model.
        colour: Number of its colour.
        line: Points of the mean over seeds, as SVG has them.
        band: Outline of the range from the lowest to the highest seed; None for one seed.
    """

    name: str
    colour: int
    line: str
    band: str | None


@dataclass(frozen=True)
class Curves:
    """All curves and the axes, of which the loss's is logarithmic."""

    curves: tuple[Curve, ...]
    losses: tuple[Tick, ...]
    steps: tuple[Tick, ...]


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
    """Return the curves of models' training losses."""
    tables = [_table(each) for each in logs]
    last = max(steps[-1] for steps, _ in tables)
    logarithms = [np.log10(np.maximum(losses, 1e-12)) for _, losses in tables]
    low = min(float(each.min()) for each in logarithms) - 0.03
    high = max(float(each.max()) for each in logarithms) + 0.03

    def points(steps: NDArray[Any], losses: NDArray[Any]) -> list[str]:
        y = 100 * (high - np.log10(np.maximum(losses, 1e-12))) / (high - low)
        return [f"{x:.2f},{at:.2f}" for x, at in zip(100 * steps / last, y, strict=True)]

    curves = []
    for number, (name, (steps, losses)) in enumerate(zip(names, tables, strict=True)):
        band = None
        if len(losses) > 1:
            outline = [*points(steps, losses.max(0)), *points(steps, losses.min(0))[::-1]]
            band = " ".join(outline)
        line = " ".join(points(steps, losses.mean(0)))
        curves.append(Curve(name, number % COLOURS, line, band))
    ticks = [Tick(100 * (high - math.log10(v)) / (high - low), f"{v:g}") for v in _marks(low, high)]
    marks = [Tick(100 * part, f"{round(part * last):,}") for part in (0.25, 0.5, 0.75, 1)]
    return Curves(tuple(curves), tuple(ticks), tuple(marks))


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
    parts = np.array_split(np.arange(len(steps)), min(_POINTS, len(steps)))
    return (
        np.array([steps[part].mean() for part in parts]),
        np.stack([losses[:, part].mean(1) for part in parts], axis=1),
    )


def _marks(low: float, high: float) -> list[float]:
    """Return round numbers between powers of ten: enough to read the axis by, and few."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        marks = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [mark for mark in marks if low < math.log10(mark) < high]
        if len(inside) >= 3:
            break
    return inside
