"""Circuit health: whether weights and inputs do anything, and whether they can be trained."""

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
