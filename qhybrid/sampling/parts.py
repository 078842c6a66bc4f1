"""Images as they are drawn: a part at a time, each of which is a file as soon as it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.sampling import sample
from qhybrid.diffusion.specs import P2Weighting
from qhybrid.files import sealed, write_json
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import read_tensors, write_tensors
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.sampling.results import results_of
from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime import continue_at


def save_plan(run: SamplingRun, plan: SamplingPlan) -> None:
    """Write what makes the images, so that the run can be resumed, and its shards merged."""
    kept = {**plan.lasting(), "weights": plan.weights_sha256}
    if not plan.on_hardware:
        kept["hardware_steps"] = None  # a request must not have it there
    write_json(run.plan_file, sealed(kept))


@dataclass(frozen=True)
class Artist:
    """What draws the parts of a plan.

    Attributes:
        plan: The plan.
        model: The model in evaluation mode.
        device: Torch device of the model.
        noise: Where noise comes from.
        run: Where the parts go.
    """

    plan: SamplingPlan
    model: nn.Module
    device: str
    noise: NoiseSource
    run: SamplingRun

    def draw(self, part: range, drawn: Callable[[float], None]) -> None:
        """Draw the images with these numbers and write their file.

        Args:
            part: One of the plan's.
            drawn: Called after each evaluation of the model with the images that it amounts to.

        Raises:
            QHybridError: The model returns values that are not numbers.
            WriteError: The disk is full, or refuses.
        """
        plan, spec = self.plan, read_spec(self.plan.run.folder)
        classes = None if plan.classes is None else len(plan.classes)
        results = results_of(plan)
        frames = plan.steps + 1 if results.frames is None else results.frames
        if not plan.on_hardware:
            # The errors of noisy simulators depend on the part, and not on what was drawn before.
            continue_at(self.model, part.start)
        found = sample(
            self.model,
            shape=(len(part), *spec.drawn_shape),
            spec=plan.schedule,
            sampler=plan.sampler,
            steps=plan.steps,
            seed=plan.seed,
            first_index=part.start,
            device=self.device,
            batch_size=plan.batch_size,
            on_step=lambda _, total: drawn(len(part) / total),
            keep=frames if part == plan.parts[0] else 0,
            noise=self.noise,
            process=spec.row.process.build(plan.schedule, P2Weighting(), classes),
        )
        if not bool(found.images.isfinite().all()):
            raise QHybridError(
                f"the model of '{plan.run.folder}' draws values that are not numbers; train it "
                "again with a lower training.learning_rate"
            )
        write_tensors(self.run.part_file(part), results.tensors(found), {})


def read_part(run: SamplingRun, plan: SamplingPlan, part: range) -> dict[str, Tensor] | None:
    """Return the tensors of a part, None where they are not there or damaged.

    They are what `Results.tensors` says: of images, uint8 `images` (N, H, W, C), `labels` (N,)
    where the model was told classes, and in the first part `frames` (F, M, H, W, C) of its first M
    images.
    """
    try:
        tensors, _ = read_tensors(run.part_file(part))
    except Exception:  # whatever a damaged file raises: it is drawn again
        return None
    return tensors if len(tensors.get(results_of(plan).key, ())) == len(part) else None


def assemble(run: SamplingRun, plan: SamplingPlan) -> None:
    """Write the npz file and the pictures from the parts, which are all there.

    Raises:
        QHybridError: A part is missing or damaged all the same.
        WriteError: The disk is full, or refuses.
    """
    total, arrays = sum(map(len, plan.parts)), dict[str, Any]()
    done, results = 0, results_of(plan)
    for part in plan.parts:
        tensors = read_part(run, plan, part)
        if tensors is None:
            raise QHybridError(f"'{run.part_file(part)}' has changed since it was written")
        if not done:
            shown = {name: tensors[name] for name in (results.key, "frames")}
        for name in (results.key, "labels"):
            if name not in tensors:
                continue
            values = results.array(name, tensors[name])
            # Filled part by part: the images are in memory once.
            whole = arrays.setdefault(name, np.empty((total, *values.shape[1:]), values.dtype))
            whole[done : done + len(part)] = values
        done += len(part)
    results.write(run, arrays)
    results.draw(run, plan, shown)
