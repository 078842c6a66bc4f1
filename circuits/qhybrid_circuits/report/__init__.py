"""What a circuit costs on a QPU, by our lowering and by Qiskit's stock passes."""

from qhybrid_circuits.report.figures import CircuitFigures
from qhybrid_circuits.report.resource import ResourceReport, resource_report

__all__ = ["CircuitFigures", "ResourceReport", "resource_report"]
