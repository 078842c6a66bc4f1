"""A comparison in each of its formats."""

import json
from typing import Literal

from qhybrid.comparison.compare import Comparison
from qhybrid.comparison.sections import headline, sections
from qhybrid.report.render import markdown, tables

Format = Literal["table", "md", "json", "html"]


def render(comparison: Comparison, output_format: Format, width: int | None = None) -> str:
    """Return a comparison as text; a table has `width` columns, or as many as it needs."""
    content = comparison.content
    if output_format == "json":
        return json.dumps(content, indent=2) + "\n"
    parts = headline(content), content["notes"], sections(content)
    if output_format == "md":
        return markdown(*parts)
    if output_format == "table":
        return tables(*parts, width)
    from qhybrid.comparison.page import page

    return page(comparison)
