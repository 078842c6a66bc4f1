"""How long runs will take: a few steps of each row are timed before the first one begins."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from qhybrid.diffusion.sampling import sample
from qhybrid.fabric import Fabric
from qhybrid.reproduction.plan import Job, Plan
from qhybrid.torch_device import suitable_threads
from qhybrid.training.loop import fit
from qhybrid.training.session import build_session
from qhybrid.training.state import StepHook, TrainingState

STEPS, IMAGES = 5, 64

FIGURES_SECONDS = 3.0
"""Of an evaluation beside drawing: of 1,000 images on the classifier's features."""


@dataclass(frozen=True)
class Pace:
    """Measured times.

    Attributes:
        step: Seconds per optimizer step.
        image: Seconds per image, of all denoising steps.
    """

    step: float
    image: float


class _Clock(StepHook):
    def __init__(self) -> None:
        self.times: list[float] = []

    def after_step(self, state: TrainingState) -> None:
        self.times.append(time.perf_counter())


def measure(plan: Plan, job: Job) -> Pace:
    """Time a few steps of a row, and the drawing of a few images.

    Raises:
        RequestError: The data set cannot be read, or the model cannot be built.
    """
    config = job.config(STEPS)
    changes = {
        # The weights that it starts from may not be there yet, and do not change the pace.
        "transfer": type(config.transfer)(),
        # Nor do steps that are too small to diverge.
        "training": config.training.model_copy(update={"learning_rate": 1e-9}),
    }
    config = config.model_copy(update=changes)
    session, clock = build_session(config), _Clock()
    side = session.spec.image_size
    asked = plan.scale.evaluation
    sampler = asked.sampler or config.sampling.sampler
    steps = asked.steps or config.sampling.steps
    # Samplers that are free in their steps are timed with four of them.
    timed = steps if session.state.module.process.info.sampler else min(steps, 4)
    with session.backend, suitable_threads(session.device, session.spec.image_size):
        fabric = Fabric(accelerator=session.device, devices=1)
        fit(
            fabric,
            session.state,
            session.batches(session.dataset),
            (clock,),
            clip=config.training.gradient_clip,
        )
        begin = time.perf_counter()
        sample(
            session.state.model,
            shape=(IMAGES, session.spec.channels, side, side),
            spec=session.state.module.noise_schedule,
            sampler=sampler,
            steps=timed,
            device=session.device,
            process=session.state.module.process,
        )
        drawn = time.perf_counter() - begin
    # The first step compiles.
    step = median(b - a for a, b in zip(clock.times, clock.times[1:], strict=False))
    return Pace(step, drawn / IMAGES * steps / timed)


def seconds_left(plan: Plan, paces: Mapping[str, Pace]) -> float:
    """Return the estimated time of what is left to do."""
    total = 0.0
    for job in plan.jobs:
        if job.done:
            continue
        pace = paces[pace_key(job)]
        last = job.points[-1].step
        if not job.points[-1].kept:
            total += pace.step * (last - job.run.newest_step())
        left = [p for p in job.points if p.evaluated and not p.results_file.is_file()]
        images = plan.scale.evaluation.num_images
        total += len(left) * (pace.image * images + FIGURES_SECONDS)
    return total


def pace_key(job: Job) -> str:
    """Return what jobs of one pace share."""
    return f"{job.table}/{job.row}"
