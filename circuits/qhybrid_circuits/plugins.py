"""Tables of rows by name that packages of other people add to, through entry points.

Ansätze, backends, models, data sets and samplers each have one `Registry`. A package adds a row by
an entry point of the registry's group in its pyproject.toml,

    [project.entry-points."qhybrid.ansatze"]
    ladder = "my_package.circuits:ladder"

and a row in a module that is not installed is named as `my_module:ladder`; the folder that the
command runs in is searched too.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, Protocol, TypeVar, cast

from qhybrid_circuits.errors import QHybridError, RequestError, UnknownNameError


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """The name that the row is found by."""


Row = TypeVar("Row", bound=Named)

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Registry(Mapping[str, Row], Generic[Row]):
    """Rows by name: the built-in ones, then those of installed packages, loaded on first use.

    Attributes:
        built_in: The rows that come with qhybrid.
    """

    def __init__(
        self, kind: str, rows: Iterable[Row], *, group: str, adapt: Callable[[str, Any], Row]
    ) -> None:
        """Store the built-in rows.

        Args:
            kind: What a name stands for, e.g. "model"; error messages use it.
            rows: The built-in rows in the order of listings; their names win over others'.
            group: The entry point group, e.g. "qhybrid.models".
            adapt: Makes a row from a name and the object that an entry point or `module:function`
                refers to; raises RequestError if it cannot.
        """
        self.kind, self.group, self._adapt = kind, group, adapt
        self.built_in: Mapping[str, Row] = {row.name: row for row in rows}
        self._loaded: dict[str, Row] = {}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self.group)}
        return {name: found[name] for name in sorted(found) if name not in self.built_in}

    def __getitem__(self, name: str) -> Row:
        if name in self.built_in:
            return self.built_in[name]
        if name not in self._loaded:
            point = self._entry_points.get(name)
            if point is None and not is_reference(name):
                raise KeyError(name)
            load = partial(_search_here, name) if point is None else point.load
            self._loaded[name] = self._adapt(name, _loaded(f"{self.kind} '{name}'", load))
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._loaded or name in self._entry_points

    def __iter__(self) -> Iterator[str]:
        yield from (*self.built_in, *self._entry_points)

    def __len__(self) -> int:
        return len(self.built_in) + len(self._entry_points)

    def find(self, name: str, hint: str = "") -> Row:
        """Return the row of a name, or of a `module:function`.

        Raises:
            UnknownNameError: There is no row of this name; `hint` says what to do next.
            RequestError: The module cannot be imported, or what it holds is not such a row.
        """
        try:
            return self[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self, hint) from None


def is_reference(name: str) -> bool:
    """Return whether a name is written as `module:function`."""
    return _REFERENCE.fullmatch(name) is not None


def load_reference(reference: Any) -> Any:
    """Return what "module:name" refers to, imported; anything but text is returned as it is."""
    return resolve_name(reference) if isinstance(reference, str) else reference


def row_or_function(
    kind: str, row: type[Row], signature: str, wrap: Callable[[str, str, Any], Row]
) -> Callable[[str, Any], Row]:
    """Return an `adapt` for a `Registry` that takes rows, and functions to make rows of.

    Args:
        kind: What a name stands for, e.g. "model".
        row: The dataclass of the rows.
        signature: What the function must be, for messages.
        wrap: Makes a row from a name, the first line of the function's docstring, and itself.
    """

    def adapt(name: str, found: Any) -> Row:
        if isinstance(found, row):
            renamed: Any = found
            return cast("Row", replace(renamed, name=name))
        if not callable(found):
            raise RequestError(
                f"{kind} '{name}' is a {type(found).__name__}, but must be a {row.__name__} or a "
                f"function {signature}"
            )
        return wrap(name, (inspect.getdoc(found) or name).splitlines()[0], found)

    return adapt


def _search_here(reference: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        # A console script does not search the folder that it runs in, as `python -m` does.
        sys.path.append(folder)
    return load_reference(reference)


def load_from_here(reference: str) -> Any:
    """Return what "module:name" refers to, also in the folder that the command runs in.

    Raises:
        RequestError: It cannot be loaded.
    """
    return _loaded(f"'{reference}'", partial(_search_here, reference))


def _loaded(what: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except QHybridError:
        raise
    except Exception as error:
        # An import runs the other package's code, which may raise anything.
        raise RequestError(
            f"{what} cannot be loaded: {type(error).__name__}: {error}; "
            "check the name, or mend or uninstall the package that it comes from"
        ) from error
