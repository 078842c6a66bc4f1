"""Text of the package's templates, in which every value is escaped."""

from functools import cache
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
