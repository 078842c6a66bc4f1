"""Descent along the natural gradient of a circuit's weights (Stokes et al., arXiv:1909.02108)."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
    from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient

__all__ = ["QuantumNaturalGradient", "fubini_study_metric"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {"QuantumNaturalGradient": ".optimizer", "fubini_study_metric": ".metric"},
)
