"""Execute circuits: the differentiable engine, the backends, and the torch layers."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.backends.backend import Backend
    from qhybrid_runtime.backends.registry import BACKENDS, get_backend
    from qhybrid_runtime.bank import CircuitBank
    from qhybrid_runtime.gradients import (
        Adjoint,
        AdjointEstimatorGradient,
        GradientMethod,
        ParameterShift,
        Spsa,
    )
    from qhybrid_runtime.health import (
        CircuitHealth,
        ModelHealth,
        circuit_health,
        gradient_trend,
        model_health,
    )
    from qhybrid_runtime.layer import QuantumLayer, continue_at, quantum_layer
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN
    from qhybrid_runtime.weight_table import WeightTable

__all__ = [
    "BACKENDS",
    "Adjoint",
    "AdjointEstimatorGradient",
    "Backend",
    "BroadcastEstimatorQNN",
    "CircuitBank",
    "CircuitHealth",
    "GradientMethod",
    "ModelHealth",
    "ParameterShift",
    "QuantumLayer",
    "Spsa",
    "WeightTable",
    "circuit_health",
    "continue_at",
    "get_backend",
    "gradient_trend",
    "model_health",
    "quantum_layer",
]

_HOMES = {
    ".backends.backend": ["Backend"],
    ".backends.registry": ["BACKENDS", "get_backend"],
    ".bank": ["CircuitBank"],
    ".gradients": [
        "Adjoint",
        "AdjointEstimatorGradient",
        "GradientMethod",
        "ParameterShift",
        "Spsa",
    ],
    ".health": ["CircuitHealth", "ModelHealth", "circuit_health", "gradient_trend", "model_health"],
    ".layer": ["QuantumLayer", "continue_at", "quantum_layer"],
    ".qnn": ["BroadcastEstimatorQNN"],
    ".weight_table": ["WeightTable"],
}

__getattr__, __dir__ = lazy_exports(
    __name__, {name: home for home, names in _HOMES.items() for name in names}
)
