from typing import Any

import diffusers

from qhybrid.diffusion.samplers import SamplerInfo
from qhybrid.diffusion.schedules import beta_options
from qhybrid.diffusion.specs import ScheduleSpec


def solver(spec: ScheduleSpec) -> Any:
    """Return diffusers' single-step DPM-Solver++."""
    return diffusers.DPMSolverSinglestepScheduler(
        **beta_options(spec), solver_order=1, final_sigmas_type="zero"
    )


ROW = SamplerInfo("euler", "single-step DPM-Solver++ of first order", 5, False, solver)
