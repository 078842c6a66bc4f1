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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BACKENDS": ".backends.registry",
        "Adjoint": ".gradients",
        "AdjointEstimatorGradient": ".gradients",
        "Backend": ".backends.backend",
        "BroadcastEstimatorQNN": ".qnn",
        "CircuitBank": ".bank",
        "CircuitHealth": ".health",
        "ModelHealth": ".health",
        "circuit_health": ".health",
        "gradient_trend": ".health",
        "model_health": ".health",
        "GradientMethod": ".gradients",
        "ParameterShift": ".gradients",
        "QuantumLayer": ".layer",
        "Spsa": ".gradients",
        "WeightTable": ".weight_table",
        "continue_at": ".layer",
        "get_backend": ".backends.registry",
        "quantum_layer": ".layer",
    },
)
