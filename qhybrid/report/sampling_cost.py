"""What drawing images from a model costs on a QPU."""

from collections.abc import Sequence
from typing import Any

from qhybrid.report.circuits import SubjectCircuits
from qhybrid.report.request import SamplingPlan
from qhybrid.sampling.plan import BATCH_SIZE
from qhybrid_runtime.hardware import billing
from qhybrid_runtime.hardware.measurement import measurement_bases


def sampling_cost(
    circuits: SubjectCircuits, plan: SamplingPlan, layers: Sequence[int]
) -> dict[str, Any]:
    """Return the bill of one image, by our classes and by stock ones, for `--format json`.

    `layers` are the gate layers of each structure of circuits.

    Raises:
        RequestError: A number of the plan is not positive.
    """
    settings = billing.PrimitiveSettings(shots=plan.shots)
    whole, rest = divmod(plan.num_images, BATCH_SIZE)
    ours, theirs = [], []
    # The circuits of a batch of images share rounds.
    for images, batches in ((BATCH_SIZE, whole), (rest, 1)):
        for each in _rounds(circuits, images, layers) if images and batches else ():
            times = batches * plan.steps
            ours.append(billing.estimate(each, settings).times(times))
            theirs.append(billing.estimate_stock(each, settings).times(times))
    bill = billing.calibrated_once(billing.total(ours), settings)
    return {
        "sampler": plan.sampler,
        "steps": plan.steps,
        "shots": plan.shots,
        "num_images": plan.num_images,
        **_per_image(bill, plan.num_images),
        "stock": _per_image(billing.total(theirs), plan.num_images),
    }


def _rounds(
    circuits: SubjectCircuits, images: int, layers: Sequence[int]
) -> list[list[billing.RoundSize]]:
    """Return the circuits of each round of a denoising step of so many images."""
    return [
        [
            billing.RoundSize(
                parameter_sets=part.samples * images,
                observables=circuits.uses[part.use].variational.num_outputs,
                circuits=part.circuits,
                layers=max(1, layers[part.use]),
                bases=measurement_bases(circuits.uses[part.use].variational.observables),
            )
            for part in parts
        ]
        for parts in circuits.rounds or ()
    ]


def step_counts(circuits: SubjectCircuits) -> dict[str, int]:
    """Return how many circuits one image evaluates in a denoising step, and in how many rounds."""
    rounds: Sequence[Any] = circuits.rounds or ()
    parts = [part for each in rounds for part in each]
    return {
        "circuits_per_step": sum(part.circuits * part.samples for part in parts),
        "rounds_per_step": len(rounds),
    }


def _per_image(bill: billing.Bill, images: int) -> dict[str, Any]:
    return {
        "jobs": bill.jobs,
        "executions_per_image": bill.executions / images,
        "qpu_seconds_per_image": bill.qpu_seconds / images,
        "open_plan_share": bill.open_plan_share,
    }
