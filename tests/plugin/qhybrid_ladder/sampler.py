from typing import Any

import diffusers

from qhybrid.diffusion.samplers import SamplerInfo
from qhybrid.diffusion.schedules import beta_options
from qhybrid.diffusion.specs import ScheduleSpec


def solver(spec: ScheduleSpec) -> Any:
    """Return diffusers' UniPC solver."""
    return diffusers.UniPCMultistepScheduler(**beta_options(spec), solver_order=1)


ROW = SamplerInfo("euler", "UniPC of first order", 5, False, solver)
