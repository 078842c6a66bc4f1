"""Variational circuits, and their lowering to the gates and couplings of QPUs."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_circuits.ansatz_registry import ANSATZE, build_ansatz
    from qhybrid_circuits.errors import (
        CircuitError,
        NotFiniteError,
        QHybridError,
        RequestError,
        ShapeError,
        UnknownNameError,
    )
    from qhybrid_circuits.lowering import (
        LoweredCircuit,
        lower,
        pass_manager,
        restricted_target,
        success_probability,
    )
    from qhybrid_circuits.plain import plain_circuit
    from qhybrid_circuits.report import CircuitFigures, ResourceReport, resource_report
    from qhybrid_circuits.variational import VariationalCircuit

__all__ = [
    "ANSATZE",
    "CircuitError",
    "CircuitFigures",
    "LoweredCircuit",
    "NotFiniteError",
    "QHybridError",
    "RequestError",
    "ResourceReport",
    "ShapeError",
    "UnknownNameError",
    "VariationalCircuit",
    "build_ansatz",
    "lower",
    "pass_manager",
    "plain_circuit",
    "resource_report",
    "restricted_target",
    "success_probability",
]

_HOMES = {
    ".ansatz_registry": ["ANSATZE", "build_ansatz"],
    ".errors": [name for name in __all__ if name.endswith("Error")],
    ".plain": ["plain_circuit"],
    ".report": ["CircuitFigures", "ResourceReport", "resource_report"],
    ".variational": ["VariationalCircuit"],
}
_ELSEWHERE = {name: home for home, names in _HOMES.items() for name in names}

# All others are of lowering.
__getattr__, __dir__ = lazy_exports(
    __name__, {name: _ELSEWHERE.get(name, ".lowering") for name in __all__}
)
