"""Names of the ansätze and their builders; Qiskit is imported when a circuit is built."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qhybrid_circuits.errors import CircuitError, RequestError
from qhybrid_circuits.plugins import Registry, load_reference

if TYPE_CHECKING:
    from qhybrid_circuits.variational import VariationalCircuit


@dataclass(frozen=True)
class Ansatz:
    """A row of the table of ansätze.

    Attributes:
        name: The ansatz's name.
        source: The builder, or "module:function" of it, imported when it is first called.
        encoding: How it takes in one feature an input, where that is known and comes first; None
            where its inputs are its own affair.
    """

    name: str
    source: "str | Callable[..., VariationalCircuit]"
    encoding: str | None = None

    @property
    def builder(self) -> "Callable[..., VariationalCircuit]":
        """The function that makes the circuit from its options."""
        builder: Callable[..., VariationalCircuit] = load_reference(self.source)
        return builder


def _adapt(name: str, found: Any) -> Ansatz:
    if not callable(found):
        raise RequestError(
            f"Ansatz '{name}' must be a function that returns a VariationalCircuit, but is of type "
            f"{type(found).__name__}"
        )
    return Ansatz(name, found)


#: Names of the built-in ansätze.
ANSATZE: tuple[str, ...] = (
    "hqconv",
    "fqconv",
    "basic_entangling",
    "qattention",
    "brickwork",
    "reupload",
)

_ENCODINGS = {"brickwork": "amplitude", "reupload": None}

_ROWS = [
    Ansatz(name, f"qhybrid_circuits.ansatz._{name}:{name}", _ENCODINGS.get(name, "angle"))
    for name in ANSATZE
]

#: All ansätze: the built-in ones, those of installed packages, and any `module:function`.
REGISTRY = Registry("ansatz", _ROWS, group="qhybrid.ansatze", adapt=_adapt)


def ansatz_builder(name: str) -> "Callable[..., VariationalCircuit]":
    """Return the builder of an ansatz.

    Args:
        name: A key of `ANSATZE`, an installed package's ansatz, or `module:function`.

    Raises:
        UnknownNameError: There is no ansatz of this name.
        RequestError: The name is a `module:function` that cannot be loaded.

    Example:
        >>> from qhybrid_circuits.ansatz import ansatz_builder, hqconv
        >>> ansatz_builder("hqconv") is hqconv
        True
    """
    return REGISTRY.find(name).builder


def build_ansatz(name: str, **options: Any) -> "VariationalCircuit":
    """Build an ansatz by its name.

    Args:
        name: One of `ANSATZE`, the name of an installed package's ansatz, or `module:function`.
        options: Keyword arguments of the builder, e.g. `channels=3, layers=3`.

    Raises:
        UnknownNameError: There is no ansatz of this name.
        CircuitError: The builder does not take one of the options, refuses its value, or returns
            something else than a VariationalCircuit.
        RequestError: The name is a `module:function` that cannot be loaded.

    Example:
        >>> from qhybrid_circuits import build_ansatz
        >>> build_ansatz("hqconv", channels=3, layers=3).num_weights
        84
    """
    from qhybrid_circuits.variational import VariationalCircuit

    builder = ansatz_builder(name)
    parameters = inspect.signature(builder).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        unknown = [option for option in options if option not in parameters]
        if unknown:
            raise CircuitError(
                f"Ansatz '{name}' takes {', '.join(parameters)}, but was given {', '.join(unknown)}"
            )
    circuit = builder(**options)
    if not isinstance(circuit, VariationalCircuit):
        raise CircuitError(
            f"Ansatz '{name}' must return a VariationalCircuit, but returns a "
            f"{type(circuit).__name__}"
        )
    return circuit
