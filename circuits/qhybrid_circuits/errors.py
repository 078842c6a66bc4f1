"""Every exception that qhybrid raises on purpose, and the one way to say that a name is unknown.

The tree has a branch for each exit code of the command line: a `RequestError` is the caller's to
mend (exit code 2), a `QpuLimitError` is a stop that the caller asked for (exit code 3), any other
`QHybridError` is a failure of the work itself (exit code 1).
"""

import difflib
from collections.abc import Iterable


class QHybridError(Exception):
    """Anything that qhybrid reports in one line instead of a traceback.

    Example:
        >>> from qhybrid_circuits import QHybridError, build_ansatz
        >>> try:
        ...     build_ansatz("hqcomv")
        ... except QHybridError as error:
        ...     print(error)
        unknown ansatz 'hqcomv'; did you mean hqconv...
    """


class RequestError(QHybridError, ValueError):
    """The request was wrong: the message says what, what is allowed, and what to do next."""


class UnknownNameError(RequestError):
    """A name that is not in the list of names that exist."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], hint: str = "", more: Iterable[str] = ()
    ) -> None:
        """Name the nearest known names, then all of them.

        Args:
            kind: What the name stands for, e.g. "model".
            name: The name that was asked for.
            known: The names that exist.
            hint: What to do next, a clause that follows the list.
            more: Names that exist too, but are too many to list; the nearest of them are named.
        """
        self.kind, self.name, self.known, self._more = kind, name, tuple(known), tuple(more)
        names = list(dict.fromkeys((*self.known, *self._more)))
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        guess = f"; did you mean {' or '.join(near)}?" if near else ";"
        tail = f"; {hint}" if hint else ""
        self._hint = hint
        super().__init__(f"unknown {kind} '{name}'{guess} known: {', '.join(self.known)}{tail}")

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is made anew from its message alone; worker processes send them as pickles.
        return type(self), (self.kind, self.name, self.known, self._hint, self._more)


class QpuLimitError(QHybridError):
    """A limit on QPU time that the user set would be exceeded; what is done so far is kept."""


class DeviceJobError(QHybridError):
    """A job on a QPU failed again and again; what is done so far is kept."""


class CircuitError(RequestError):
    """A circuit, ansatz or observable that cannot be what it is asked to be."""


class TooFewQubitsError(CircuitError):
    """A circuit that a target has too few qubits for."""

    def __init__(self, message: str, needed: int = 0) -> None:
        """Say so; `needed` is how many qubits the circuit has, 0 where that is not known."""
        super().__init__(message)
        self.needed = needed


class NotFiniteError(QHybridError, ValueError):
    """A number that is NaN or infinite where a circuit needs an angle."""


class ShapeError(RequestError):
    """An array or tensor whose shape does not fit the circuit or model it is given to."""


class FileKindError(RequestError, OSError):
    """A folder, a device, a pipe or a socket where a file is to be read or written."""


class WriteError(QHybridError, OSError):
    """A file that could not be written; what was there before is still there."""
