"""What a circuit costs on a device, by our lowering and by Qiskit's stock passes."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_circuits.report.figures import CircuitFigures
    from qhybrid_circuits.report.resource import ResourceReport, resource_report

__all__ = ["CircuitFigures", "ResourceReport", "resource_report"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CircuitFigures": ".figures",
        "ResourceReport": ".resource",
        "resource_report": ".resource",
    },
)
