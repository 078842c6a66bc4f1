"""Bars of HTML and CSS: legible at any width, and without any script."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from qhybrid.report.sections import NOT_KNOWN, probability


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: Left of it.
        value: Its length; None is drawn as "not known".
        text: Right of it.
        kind: A class of the style sheet.
    """

    name: str
    value: float | None
    text: str
    kind: str


def bars(title: str, members: Sequence[Bar], largest: float | None = None) -> str:
    """Return a chart of bars.

    Args:
        title: Above it.
        members: From top to bottom.
        largest: The value of a full bar; the largest of all if None.
    """
    full = largest or max((bar.value or 0.0 for bar in members), default=0.0) or 1.0
    rows = "".join(_row(bar, full) for bar in members)
    return f'<figure class="bars"><figcaption>{escape(title)}</figcaption>{rows}</figure>'


def _row(bar: Bar, full: float) -> str:
    percent = 0.0 if bar.value is None else 100 * max(0.0, min(1.0, bar.value / full))
    return (
        f'<div class="bar"><span class="name">{escape(bar.name)}</span>'
        f'<span class="track"><span class="fill {bar.kind}" style="width:{percent:.2f}%"></span>'
        f'</span><span class="value">{escape(bar.text)}</span></div>'
    )


def stock_charts(report: Mapping[str, Any]) -> list[str]:
    """Return a chart of each figure of a circuit on a device, ours beside stock."""
    figures: list[tuple[str, str, float | None]] = [
        ("two_qubit_gates", "Two-qubit gates (fewer is better)", None),
        ("two_qubit_depth", "Two-qubit depth (less is better)", None),
        ("duration_us", "Duration in microseconds (less is better)", None),
        ("success_probability", "Success probability (more is better)", 1.0),
    ]
    sources = [
        (name, figures, kind)
        for name, figures, kind in (
            ("ours", report, "ours"),
            ("stock", report["stock"], "stock"),
            ("stock, bound", report["stock_bound"], "stock-bound"),
        )
        if figures is not None
    ]
    return [
        bars(title, [Bar(n, s[key], _text(key, s[key]), kind) for n, s, kind in sources], largest)
        for key, title, largest in figures
    ]


def _text(key: str, value: float | None) -> str:
    if value is None:
        return NOT_KNOWN
    if key == "success_probability":
        return probability(value)
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def trend_charts(circuit: str, trend: Mapping[str, Any]) -> list[str]:
    """Return the gradient's variance at other sizes, bars on a logarithmic scale."""
    charts = []
    for key in ("qubits", "layers"):
        points = trend[f"by_{key}"]
        if not points:
            continue
        lowest = min(math.log10(point["variance"]) for point in points) - 0.5
        highest = max(math.log10(point["variance"]) for point in points)
        members = [
            Bar(
                f"{point[key]} {key if point[key] > 1 else key[:-1]}",
                math.log10(point["variance"]) - lowest,
                f"{point['variance']:.1e}",
                "ours",
            )
            for point in points
        ]
        slope = trend[f"log2_per_{key[:-1]}"]
        change = "" if slope is None else f", x {2**slope:.2f} with each {key[:-1]}"
        title = f"Gradient variance of {circuit} by {key}, logarithmic scale{change}"
        charts.append(bars(title, members, highest - lowest))
    return charts
