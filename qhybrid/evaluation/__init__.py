"""How good generated images are, measured against real ones."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.evaluation.request import EvaluationRequest
    from qhybrid.evaluation.ssim import mean_ssim

__all__ = ["EvaluationRequest", "mean_ssim"]

__getattr__, __dir__ = lazy_exports(
    __name__, {"EvaluationRequest": ".request", "mean_ssim": ".ssim"}
)
