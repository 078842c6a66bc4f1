"""What a report is asked for, and every refusal that needs nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qhybrid.diffusion.process import EPSILON
from qhybrid.report.devices import check_target_names
from qhybrid.report.subject import Subject, find_subject
from qhybrid.sampling.steps import sampler_and_steps
from qhybrid.settings.config import Config
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.hardware.billing import PrimitiveSettings

_MOST = 10_000_000


@dataclass(frozen=True)
class ReportRequest:
    """What to report.

    Attributes:
        subject: A model, an ansatz, or the folder of a run.
        targets: Devices; without any, circuits are counted as they are written.
        fractional: Use fractional gates.
        health: Examine the circuits.
        shots: Executions of a circuit with one parameter set; what `sample` takes on a device if
            None.
        sampler: A key of `SAMPLERS`; what `sample` takes on a QPU if None.
        steps: Denoising steps; what `sample` takes on a QPU if None.
        num_images: Images that are drawn together.
        settings: Options of an ansatz or of a model.
    """

    subject: str
    targets: tuple[str, ...] = ()
    fractional: bool = False
    health: bool = True
    shots: int | None = None
    sampler: str | None = None
    steps: int | None = None
    num_images: int = 64
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplingPlan:
    """How images would be drawn.

    Attributes:
        sampler: Its name.
        steps: Denoising steps per image.
        shots: Executions of a circuit with one parameter set.
        num_images: Images that are drawn together; they share jobs.
    """

    sampler: str
    steps: int
    shots: int
    num_images: int


def check_request(request: ReportRequest) -> tuple[Subject, SamplingPlan]:
    """Look up every name of a request, and fill in what it leaves open.

    Raises:
        UnknownNameError: There is no such subject, setting, target or sampler.
        RequestError: A number is not allowed, a device is retired, or the run has no model yet.
    """
    subject = find_subject(request.subject, request.settings)
    check_target_names(request.targets)
    config = subject.run.config() if subject.run else _usual_config(subject)
    process = subject.spec.row.process if subject.spec is not None else EPSILON
    usual = process.shots or PrimitiveSettings.shots
    shots = usual if request.shots is None else request.shots
    for name, value in (("shots", shots), ("num-images", request.num_images)):
        if not 1 <= value <= _MOST:
            raise RequestError(f"--{name} must be 1 to {_MOST:,}, but is {value}")
    sampler, steps = sampler_and_steps(config, request.sampler, request.steps, on_qpu=True)
    return subject, SamplingPlan(sampler, steps, shots, request.num_images)


def _usual_config(subject: Subject) -> Config:
    """Return how a model that is not trained would be trained."""
    if subject.spec is None:
        return Config()
    steps = subject.spec.timesteps
    diffusion = {} if steps is None else {"timesteps": steps}
    return Config.model_validate({"model": {"name": subject.spec.name}, "diffusion": diffusion})
