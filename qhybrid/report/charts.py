"""Charts of bars: their lengths and their words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qhybrid.report.sections import figure


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: Left of it.
        kind: A class of the style sheet.
        percent: Its length.
        text: Right of it.
    """

    name: str
    kind: str
    percent: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Bars below a title, from top to bottom."""

    title: str
    bars: Sequence[Bar]


#: Figures that have a chart, with its title.
_TITLES = {
    "two_qubit_gates": "Two-qubit gates (fewer is better)",
    "two_qubit_depth": "Two-qubit depth (less is better)",
    "duration_us": "Duration in microseconds (less is better)",
    "success_probability": "Success probability (more is better)",
}


def stock_charts(report: Mapping[str, Any]) -> list[Chart]:
    """Return a chart of each figure of a circuit on a device, ours beside stock."""
    sources = [
        (name, kind, figures)
        for name, kind, figures in (
            ("ours", "ours", report),
            ("stock", "stock", report["stock"]),
            ("stock, bound", "stock-bound", report["stock_bound"]),
        )
        if figures is not None
    ]
    charts = []
    for key, title in _TITLES.items():
        values = [(name, kind, figures[key]) for name, kind, figures in sources]
        largest = max(value or 0.0 for *_, value in values)
        full = 1.0 if key == "success_probability" else largest or 1.0
        bars = [
            Bar(name, kind, 100 * (value or 0.0) / full, figure(key, value))
            for name, kind, value in values
        ]
        charts.append(Chart(title, bars))
    return charts


def trend_charts(circuit: str, trend: Mapping[str, Any]) -> list[Chart]:
    """Return the gradient's variance at other sizes, bars on a logarithmic scale."""
    charts = []
    for size in ("qubit", "layer"):
        points, slope = trend[f"by_{size}s"], trend[f"log2_per_{size}"]
        if not points:
            continue
        sizes = [(point[f"{size}s"], point["variance"]) for point in points]
        lowest = math.log10(min(variance for _, variance in sizes)) - 0.5
        full = math.log10(max(variance for _, variance in sizes)) - lowest
        bars = [
            Bar(
                f"{count} {size}{'s' * (count > 1)}",
                "ours",
                100 * (math.log10(variance) - lowest) / full,
                f"{variance:.1e}",
            )
            for count, variance in sizes
        ]
        change = "" if slope is None else f", x {2**slope:.2f} with each {size}"
        title = f"Gradient variance of {circuit} by {size}s, logarithmic scale{change}"
        charts.append(Chart(title, bars))
    return charts
