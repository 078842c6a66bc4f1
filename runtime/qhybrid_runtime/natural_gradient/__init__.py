"""Descent along the natural gradient of a circuit's weights (Stokes et al., arXiv:1909.02108)."""

from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient

__all__ = ["QuantumNaturalGradient", "fubini_study_metric"]
