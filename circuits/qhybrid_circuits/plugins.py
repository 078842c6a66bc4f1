"""Tables of rows by name that packages of other people add to, through entry points.

Ansätze, backends, models, data sets and samplers each have one `Registry`. A package adds a row by
an entry point of the registry's group in its pyproject.toml,

    [project.entry-points."qhybrid.ansatze"]
    ladder = "my_package.circuits:ladder"

and a row in a module that is not installed is named as `my_module:ladder`; the folder that the
command runs in is searched too.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from qhybrid_circuits.errors import QHybridError, RequestError, UnknownNameError


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """The name that the row is found by."""


Row = TypeVar("Row", bound=Named)

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Registry(Mapping[str, Row], Generic[Row]):
    """Rows by name: the built-in ones, then those of installed packages, loaded on first use."""

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
        self.kind, self.group = kind, group
        self._rows = {row.name: row for row in rows}
        self._adapt = adapt
        self._loaded: dict[str, Row] = {}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self.group)}
        return {name: found[name] for name in sorted(found) if name not in self._rows}

    @property
    def built_in(self) -> Mapping[str, Row]:
        """The rows that come with qhybrid."""
        return self._rows

    def __getitem__(self, name: str) -> Row:
        if name in self._rows:
            return self._rows[name]
        if name not in self._loaded:
            if name in self._entry_points:
                self._loaded[name] = self._adapted(name, self._entry_points[name].load)
            elif is_reference(name):
                self._loaded[name] = self._adapted(name, lambda: _load_from_here(name))
            else:
                raise KeyError(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._loaded or name in self._entry_points

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        yield from self._entry_points

    def __len__(self) -> int:
        return len(self._rows) + len(self._entry_points)

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

    def _adapted(self, name: str, load: Callable[[], Any]) -> Row:
        try:
            loaded = load()
        except QHybridError:
            raise
        except Exception as error:
            # An import runs the other package's code, which may raise anything.
            raise RequestError(
                f"{self.kind} '{name}' cannot be loaded: {type(error).__name__}: {error}; "
                "check the name, or mend or uninstall the package that it comes from"
            ) from error
        return self._adapt(name, loaded)


def is_reference(name: str) -> bool:
    """Return whether a name is written as `module:function`."""
    return _REFERENCE.fullmatch(name) is not None


def load_reference(reference: str) -> Any:
    """Return what "module:name" refers to; the module is imported."""
    module, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _load_from_here(reference: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        # A console script does not search the folder that it runs in, as `python -m` does.
        sys.path.append(folder)
    return load_reference(reference)
