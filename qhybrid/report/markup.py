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
    """Return a template's text, which another template does not escape again.

    Args:
        template: A file below `templates`.
        **values: Its variables.
    """
    return Markup(environment().get_template(template).render(values))
