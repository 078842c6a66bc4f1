"""The diffusion process: schedules, the weighted loss, EMA weights, samplers and image files."""

from typing import TYPE_CHECKING

from qhybrid.diffusion.samplers import SAMPLERS, SamplerInfo
from qhybrid.diffusion.specs import EmaSpec, P2Weighting, ScheduleSpec
from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.diffusion.ema import Ema
    from qhybrid.diffusion.images import save_gif, save_grid, to_uint8
    from qhybrid.diffusion.loss import denoising_loss
    from qhybrid.diffusion.sampling import SampleResult, sample
    from qhybrid.diffusion.schedules import noise_scheduler

__all__ = [
    "SAMPLERS",
    "Ema",
    "EmaSpec",
    "P2Weighting",
    "SampleResult",
    "SamplerInfo",
    "ScheduleSpec",
    "denoising_loss",
    "noise_scheduler",
    "sample",
    "save_gif",
    "save_grid",
    "to_uint8",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Ema": ".ema",
        "SampleResult": ".sampling",
        "denoising_loss": ".loss",
        "noise_scheduler": ".schedules",
        "sample": ".sampling",
        "save_gif": ".images",
        "save_grid": ".images",
        "to_uint8": ".images",
    },
)
