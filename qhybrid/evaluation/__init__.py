"""How good generated images are, measured against real ones."""

from qhybrid.evaluation.ssim import mean_ssim

__all__ = ["mean_ssim"]
