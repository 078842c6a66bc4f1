"""Circuit health: whether weights and inputs do anything, and whether they can be trained."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.health.circuit import CircuitHealth, circuit_health, dead_weights
    from qhybrid_runtime.health.model import ModelHealth, circuit_effect, model_health
    from qhybrid_runtime.health.trend import GradientTrend, TrendPoint, gradient_trend

__all__ = [
    "CircuitHealth",
    "GradientTrend",
    "ModelHealth",
    "TrendPoint",
    "circuit_effect",
    "circuit_health",
    "dead_weights",
    "gradient_trend",
    "model_health",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CircuitHealth": ".circuit",
        "circuit_health": ".circuit",
        "dead_weights": ".circuit",
        "ModelHealth": ".model",
        "circuit_effect": ".model",
        "model_health": ".model",
        "GradientTrend": ".trend",
        "TrendPoint": ".trend",
        "gradient_trend": ".trend",
    },
)
