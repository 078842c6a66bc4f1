"""The variance of a step of the reverse process, where a request has another than the run."""

from dataclasses import replace

from qhybrid.diffusion.samplers import check_has_variance
from qhybrid.diffusion.specs import LEARNED, ScheduleSpec
from qhybrid.models.spec import ModelSpec
from qhybrid_circuits.errors import RequestError


def with_variance(
    schedule: ScheduleSpec, variance: str | None, spec: ModelSpec, sampler: str
) -> ScheduleSpec:
    """Return the schedule with the variance that is asked for; None leaves it as it is.

    Raises:
        UnknownNameError: There is no such variance.
        RequestError: The model, or the sampler, does not have it.
    """
    if variance is None:
        return schedule
    schedule = replace(schedule, variance=variance)
    spec.row.process.check_variance(variance)
    if variance == LEARNED and spec.variance is None:
        raise RequestError(
            f"--variance {variance} is of models that were trained to predict variances, with "
            "--set diffusion.variance=learned; leave it out"
        )
    check_has_variance(variance, sampler)
    return schedule
