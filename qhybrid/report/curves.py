"""Curves on a page: points in a square of 100 x 100, and numbers beside its axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLOURS = 6
"""Of curves; further ones begin anew."""

_POINTS = 120
"""Of a curve at most; those between are averaged."""

_MARKED = 30
"""Points of a curve, at most, that are marked."""

_SMALLEST = 1e-12
"""What a logarithmic axis shows of values that are not positive."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers to draw.

    Attributes:
        name: What they are.
        x: (P,), increasing, not negative.
        y: (P,).
        band: Ends of a range around y, each (P,); None for a line alone.
        dashed: Draw a dashed line, without marks.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    band: tuple[ArrayLike, ArrayLike] | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Tick:
    """A number beside an axis, and where: per cent from the left, or from the top."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One series in a square of 100 x 100.

    Attributes:
        name: What it is.
        colour: Number of its colour.
        line: Its points, as SVG has them.
        band: Outline of its range, if it has one.
        marks: Path of marks on its points, where these are few.
        dashed: Whether the line is dashed.
    """

    name: str
    colour: int
    line: str
    band: str | None
    marks: str | None
    dashed: bool


@dataclass(frozen=True)
class Curves:
    """Curves and their axes.

    Attributes:
        label: What is drawn, for those who do not see it.
        note: How to read it.
    """

    label: str
    note: str
    curves: tuple[Curve, ...]
    values: tuple[Tick, ...]
    steps: tuple[Tick, ...]


def draw_curves(
    series: Sequence[Series], *, label: str, note: str = "", logarithmic: bool = False
) -> Curves:
    """Return series as curves from x = 0 on, with round numbers beside both axes."""
    scale: Callable[[ArrayLike], Array] = _logarithm if logarithmic else np.asarray
    ends = [scale(part) for each in series for part in (each.y, *(each.band or ()))]
    low, high = float(min(map(np.min, ends))), float(max(map(np.max, ends)))
    if logarithmic:
        margin = 0.03 if high > low else 0.3  # of decades
    else:
        margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    if not logarithmic and 0 <= low < high / 2:
        low = margin  # the axis begins at 0
    low, high = low - margin, high + margin
    last = max(float(np.max(np.asarray(each.x))) for each in series) or 1.0

    def place(x: ArrayLike, y: ArrayLike) -> list[str]:
        down = 100 * (high - scale(y)) / (high - low)
        return [f"{a:.2f},{b:.2f}" for a, b in zip(100 * np.asarray(x) / last, down, strict=True)]

    curves = []
    for number, each in enumerate(series):
        x, y, *ends = thinned(each.x, each.y, *(each.band or ()))
        points = place(x, y)
        outline = [*place(x, ends[1]), *place(x, ends[0])[::-1]] if ends else []
        marked = len(points) <= _MARKED and not each.dashed
        marks = "".join(f"M{point}h0" for point in points) if marked else None
        line, band = " ".join(points), " ".join(outline) or None
        curves.append(Curve(each.name, number % COLOURS, line, band, marks, each.dashed))
    marks_y = _decade_marks(low, high) if logarithmic else _round_marks(low, high)
    down = 100 * (high - scale(marks_y)) / (high - low)
    values = [Tick(float(at), f"{v:,.10g}") for at, v in zip(down, marks_y, strict=True)]
    steps = [Tick(100 * v / last, f"{v:,.0f}") for v in _round_marks(0, last, 1.0) if v]
    return Curves(label, note, tuple(curves), tuple(values), tuple(steps))


def thinned(*rows: ArrayLike) -> list[Array]:
    """Return rows of numbers, each (..., P), with neighbours averaged so that few are left."""
    arrays = [np.asarray(row, dtype=float) for row in rows]
    count = arrays[0].shape[-1]
    parts = np.array_split(np.arange(count), min(_POINTS, count))
    return [np.stack([row[..., part].mean(-1) for part in parts], axis=-1) for row in arrays]


def _logarithm(values: ArrayLike) -> Array:
    return np.log10(np.maximum(values, _SMALLEST))


def _round_marks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Return at most six multiples of 1, 2 or 5 times a power of ten, `least` apart or more."""
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(s for f in (1, 2, 5, 10) if (s := f * power) * 6 >= high - low)
    step = max(step, least)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decade_marks(low: float, high: float) -> list[float]:
    """Return round numbers between powers of ten: enough to read the axis by, and few."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        marks = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [mark for mark in marks if low < math.log10(mark) < high]
        if len(inside) >= 3:
            break
    return inside
