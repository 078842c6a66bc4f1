"""A comparison as one HTML page that needs nothing but itself."""

from pathlib import Path

from qhybrid.comparison.charts import figure_spans, loss_curves
from qhybrid.comparison.compare import Comparison
from qhybrid.comparison.sections import headline, sections
from qhybrid.report.curves import COLOURS
from qhybrid.report.markup import embedded, fill


def page(comparison: Comparison) -> str:
    """Return the page."""
    content = comparison.content
    names = [model.name for model in comparison.models]
    tables = sections(content)
    # Without verdicts no figure can be compared.
    leading = 1 if content["verdicts"] else 0
    grids = [
        {"name": each["name"], "colour": number % COLOURS, "seed": each["runs"][0]["seed"]}
        | {"image": embedded(Path(each["grid"]))}
        for number, each in enumerate(content["models"])
        if each["grid"]
    ]
    few = " against ".join(names)
    filled = fill(
        "comparison.html",
        content=content,
        title=few if len(names) <= 2 else f"{len(names)} models compared",
        headline=headline(content),
        first_sections=tables[:leading],
        sections=tables[leading:],
        curves=loss_curves(names, comparison.logs),
        spans=figure_spans(content),
        grids=grids,
    )
    return str(filled)
