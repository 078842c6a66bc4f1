"""Options of commands that are made from settings, so that each is described once."""

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from qhybrid.settings.option import OptionField


def with_options(
    function: Callable[..., None], options: Iterable[OptionField]
) -> Callable[..., None]:
    """Return a command that has these options besides its own, and gives them on by keyword."""
    hints = typing.get_type_hints(function, include_extras=True)
    own = [
        p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    ours = [p.replace(annotation=hints[p.name], kind=p.KEYWORD_ONLY) for p in own]
    parameters = [
        *(p for p in ours if p.default is p.empty),
        *(_parameter(option) for option in options),
        *(p for p in ours if p.default is not p.empty),
    ]

    def command(**values: Any) -> None:
        function(**values)

    command.__doc__ = function.__doc__
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _parameter(field: OptionField) -> inspect.Parameter:
    option = field.option
    info: Any = typer.Option(field.flag, metavar=option.metavar, help=option.help)
    annotation, keyword = Annotated[field.type | None, info], inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, keyword, default=None, annotation=annotation)
