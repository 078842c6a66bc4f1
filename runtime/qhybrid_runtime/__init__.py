"""How circuits are executed: the differentiable engine, the backends, and the torch layers."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.backends import Backend, get_backend
    from qhybrid_runtime.bank import CircuitBank
    from qhybrid_runtime.gradient import AdjointEstimatorGradient
    from qhybrid_runtime.layer import QuantumLayer, quantum_layer
    from qhybrid_runtime.names import BACKENDS
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN

__all__ = [
    "BACKENDS",
    "AdjointEstimatorGradient",
    "Backend",
    "BroadcastEstimatorQNN",
    "CircuitBank",
    "QuantumLayer",
    "get_backend",
    "quantum_layer",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BACKENDS": ".names",
        "AdjointEstimatorGradient": ".gradient",
        "Backend": ".backends",
        "BroadcastEstimatorQNN": ".qnn",
        "CircuitBank": ".bank",
        "QuantumLayer": ".layer",
        "get_backend": ".backends",
        "quantum_layer": ".layer",
    },
)
