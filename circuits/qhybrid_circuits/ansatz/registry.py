import importlib
import inspect
from typing import TYPE_CHECKING, Any

from qhybrid_circuits.errors import CircuitError, UnknownNameError

if TYPE_CHECKING:
    from qhybrid_circuits.variational import VariationalCircuit

#: Ansatz name -> the module that holds the builder of the same name.
ANSATZE: dict[str, str] = {
    "hqconv": "qhybrid_circuits.ansatz.hqconv",
    "fqconv": "qhybrid_circuits.ansatz.fqconv",
    "basic_entangling": "qhybrid_circuits.ansatz.basic_entangling",
}


def build_ansatz(name: str, **options: Any) -> "VariationalCircuit":
    """Build an ansatz by its name.

    Args:
        name: A key of `ANSATZE`.
        options: Keyword arguments of the builder, e.g. `channels=3, layers=3`.

    Raises:
        UnknownNameError: There is no ansatz of this name.
        CircuitError: The builder does not take one of the options, or refuses its value.
    """
    if name not in ANSATZE:
        raise UnknownNameError("ansatz", name, ANSATZE)
    builder = getattr(importlib.import_module(ANSATZE[name]), name)
    allowed = list(inspect.signature(builder).parameters)
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise CircuitError(
            f"Ansatz '{name}' takes {', '.join(allowed)}, but was given {', '.join(unknown)}"
        )
    circuit: VariationalCircuit = builder(**options)
    return circuit
