"""Text of the package's templates, in which every value is escaped."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def environment() -> Environment:
    """Return the environment that loads the templates."""
    return Environment(
        loader=PackageLoader("qhybrid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def fill(template: str, **values: Any) -> Markup:
    """Return the text of a file below `templates`, which another one does not escape again."""
    return Markup(environment().get_template(template).render(values))


def embedded(picture: Path) -> str:
    """Return a PNG file as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
