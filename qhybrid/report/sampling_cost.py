"""What drawing images from a model costs on a QPU."""

from collections.abc import Sequence
from typing import Any

from qhybrid.report.circuits import SubjectCircuits
from qhybrid.report.request import SamplingPlan
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
    rounds = [
        [
            billing.RoundSize(
                parameter_sets=part.samples * plan.num_images,
                observables=circuits.uses[part.use].variational.num_outputs,
                circuits=part.circuits,
                layers=max(1, layers[part.use]),
                bases=measurement_bases(circuits.uses[part.use].variational.observables),
            )
            for part in parts
        ]
        for parts in circuits.rounds or ()
    ]
    round_bills = (billing.estimate(each, settings) for each in rounds)
    ours = billing.calibrated_once(billing.total(round_bills).times(plan.steps), settings)
    theirs = billing.total(billing.estimate_stock(each, settings) for each in rounds)
    return {
        "sampler": plan.sampler,
        "steps": plan.steps,
        "shots": plan.shots,
        "num_images": plan.num_images,
        **_per_image(ours, plan.num_images),
        "stock": _per_image(theirs.times(plan.steps), plan.num_images),
    }


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
