import importlib
import inspect
from typing import TYPE_CHECKING, Any

from qhybrid_circuits.errors import CircuitError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qhybrid_circuits.variational import VariationalCircuit

#: Names of the ansätze; `qhybrid_circuits.ansatz` has a builder of each name.
ANSATZE: tuple[str, ...] = ("hqconv", "fqconv", "basic_entangling", "qattention", "brickwork")


def ansatz_builder(name: str) -> "Callable[..., VariationalCircuit]":
    """Return the builder of an ansatz.

    Raises:
        UnknownNameError: There is no ansatz of this name.
    """
    if name not in ANSATZE:
        raise UnknownNameError("ansatz", name, ANSATZE)
    package = importlib.import_module("qhybrid_circuits.ansatz")
    builder: Callable[..., VariationalCircuit] = getattr(package, name)
    return builder


def build_ansatz(name: str, **options: Any) -> "VariationalCircuit":
    """Build an ansatz by its name.

    Args:
        name: One of `ANSATZE`.
        options: Keyword arguments of the builder, e.g. `channels=3, layers=3`.

    Raises:
        UnknownNameError: There is no ansatz of this name.
        CircuitError: The builder does not take one of the options, or refuses its value.
    """
    builder = ansatz_builder(name)
    allowed = list(inspect.signature(builder).parameters)
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise CircuitError(
            f"Ansatz '{name}' takes {', '.join(allowed)}, but was given {', '.join(unknown)}"
        )
    return builder(**options)
