"""A reproduction as one HTML page that needs nothing but itself."""

import base64
from collections.abc import Mapping
from typing import Any

from qhybrid.report.markup import fill
from qhybrid.reproduction.plan import Plan
from qhybrid.reproduction.show import headline, remarks, sections, summary


def page(plan: Plan, content: Mapping[str, Any]) -> str:
    """Return the page."""
    found = sections(content)
    tables = [
        {"section": section, "grids": _grids(plan, table)}
        for section, table in zip(found, content["tables"], strict=False)
    ]
    return str(
        fill(
            "reproduction.html",
            content=content,
            headline=headline(content),
            remarks=remarks(content),
            claims=found[len(tables) :],
            tables=tables,
            summary=summary(content),
        )
    )


def _grids(plan: Plan, table: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the pictures of a table: the first images of each row's first seed."""
    return [
        {
            "name": f"{row['label']}, epoch {point['epoch']}",
            "data": base64.b64encode((plan.folder / point["grid"]).read_bytes()).decode(),
        }
        for row in table["rows"]
        for point in row["points"]
        if point["grid"] is not None
    ]
