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
        lowering_pass_manager,
        restricted_target,
        success_probability,
    )
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
    "lowering_pass_manager",
    "resource_report",
    "restricted_target",
    "success_probability",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ANSATZE": ".ansatz_registry",
        "build_ansatz": ".ansatz_registry",
        "CircuitError": ".errors",
        "NotFiniteError": ".errors",
        "QHybridError": ".errors",
        "RequestError": ".errors",
        "ShapeError": ".errors",
        "UnknownNameError": ".errors",
        "LoweredCircuit": ".lowering",
        "lower": ".lowering",
        "lowering_pass_manager": ".lowering",
        "restricted_target": ".lowering",
        "success_probability": ".lowering",
        "CircuitFigures": ".report",
        "ResourceReport": ".report",
        "resource_report": ".report",
        "VariationalCircuit": ".variational",
    },
)
