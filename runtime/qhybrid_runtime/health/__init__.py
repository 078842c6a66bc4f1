"""Circuit health: whether weights and inputs do anything, and whether they can be trained."""

from qhybrid_runtime.health.circuit import CircuitHealth, circuit_health, dead_weights
from qhybrid_runtime.health.influence import Change, Influence, circuits_changed, influence
from qhybrid_runtime.health.model import ModelHealth, model_health
from qhybrid_runtime.health.trend import GradientTrend, TrendPoint, gradient_trend

__all__ = [
    "Change",
    "CircuitHealth",
    "GradientTrend",
    "Influence",
    "ModelHealth",
    "TrendPoint",
    "circuit_health",
    "circuits_changed",
    "dead_weights",
    "gradient_trend",
    "influence",
    "model_health",
]
