"""Methods for derivatives of expectation values, of which a backend declares those it supports."""

from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.by_name import gradient_method
from qhybrid_runtime.gradients.estimator_gradient import AdjointEstimatorGradient
from qhybrid_runtime.gradients.method import GradientMethod
from qhybrid_runtime.gradients.parameter_shift import ParameterShift
from qhybrid_runtime.gradients.spsa import Spsa

__all__ = [
    "Adjoint",
    "AdjointEstimatorGradient",
    "GradientMethod",
    "ParameterShift",
    "Spsa",
    "gradient_method",
]
