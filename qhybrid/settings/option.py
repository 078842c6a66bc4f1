"""How a setting becomes an option of the command line; imports nothing heavy."""

import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Union

_NONE = type(None)


@dataclass(frozen=True)
class Option:
    """Put into a setting's `Annotated[...]`, makes it an option of a command.

    Attributes:
        help: What `--help` says of it.
        metavar: What stands for its value there.
        flag: How it is written; `--its-name` where omitted.
        text: Whether the command line leaves the value as text, for the setting to read.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None
    text: bool = False


@dataclass(frozen=True)
class OptionField:
    """An option with what its setting says.

    Attributes:
        name: Of the setting.
        type: Of a value that is given.
        option: The option.
    """

    name: str
    type: Any
    option: Option

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")


def option_fields(owner: type) -> Iterator[OptionField]:
    """Yield the options among a dataclass's fields, in order."""
    hints = typing.get_type_hints(owner, include_extras=True)
    for field in fields(owner):
        for option in getattr(hints[field.name], "__metadata__", ()):
            if isinstance(option, Option):
                kind = value_type(typing.get_args(hints[field.name])[0], option)
                yield OptionField(field.name, kind, option)


def value_type(annotation: Any, option: Option) -> Any:
    """Return the type of a value that is given: without None, as text where it must be read."""
    if option.text:
        return str
    if typing.get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not _NONE]
        annotation = kinds[0] if len(kinds) == 1 else str
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def attribute_texts(owner: type) -> dict[str, str]:
    """Return what the `Attributes:` part of a class's docstring says of each, on one line."""
    texts: dict[str, str] = {}
    name = ""
    _, _, part = (inspect.getdoc(owner) or "").partition("Attributes:\n")
    for line in part.splitlines():
        if not line.strip() or not line.startswith("    "):
            break
        if line[4] != " ":
            name, _, text = line.strip().partition(": ")
            texts[name] = text
        else:
            texts[name] += f" {line.strip()}"
    return texts
