"""How the open choices of a sampling request are made; imports nothing heavy."""

import hashlib
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from qhybrid.diffusion.specs import NoiseSpec, ScheduleSpec
from qhybrid.memory import check_memory
from qhybrid.models.model_file import read_images, read_spec
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run
from qhybrid.sampling.execution import (
    check_execution,
    hardware_steps,
    processes,
    shard_of,
    with_shots,
)
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.steps import sampler_and_steps
from qhybrid.sampling.variance import with_variance
from qhybrid.settings.config import Config
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.randomness.cost import LEAST_QUBITS

MOST_IMAGES = 10_000_000
"""All images of a sampling run are held in memory."""

IMAGES, BATCH_SIZE = 64, 256
"""What is drawn, and in one evaluation of the model, unless told otherwise."""

GRID_IMAGES = 100
"""The most images on the grid and in the animation; images.npz has all."""


@dataclass(frozen=True)
class SamplingPlan:
    """A request with every open choice made.

    Attributes:
        run: The training run.
        config: Its configuration.
        schedule: Its noise schedule.
        num_images: How many images.
        sampler: The sampler's name.
        steps: Model evaluations per image.
        backend: The backend's name.
        seed: Of the noise.
        noise: Where it comes from.
        shares_pool: Whether the training run's pool of noise is used, at no cost.
        batch_size: Images in one evaluation of the model.
        processes: How many draw side by side.
        epoch: A kept epoch, or `best`; None for the newest weights.
        shard: (K, N) for the K-th of N shards.
        device: `auto`, `cpu` or `cuda`.
        execution: How circuits are run.
        hardware_steps: How many of the last steps run on the backend.
        max_qpu_seconds: QPU time that must not be exceeded.
        max_wait_seconds: How long to wait for a job, in the queue and running; for ever if omitted.
        classes: Names of the classes that images are drawn of, in turn; None for models that are
            not told a class.
    """

    run: Run
    config: Config
    schedule: ScheduleSpec
    num_images: int
    sampler: str
    steps: int
    backend: str
    seed: int
    noise: NoiseSpec
    shares_pool: bool
    batch_size: int
    processes: int
    epoch: str | None
    shard: tuple[int, int]
    device: str
    execution: ExecutionRequest
    hardware_steps: int
    max_qpu_seconds: float | None
    max_wait_seconds: float | None
    classes: tuple[str, ...] | None = None

    @property
    def on_hardware(self) -> bool:
        """Whether circuits are jobs on a device, fake or real, that are recorded and billed."""
        return check_backend_name(self.backend).runs_jobs

    @property
    def paid(self) -> bool:
        """Whether jobs cost QPU time of an account."""
        return check_backend_name(self.backend).paid

    @property
    def parts(self) -> list[range]:
        """Numbers of the images that are drawn, and then written, together; one part on a QPU.

        They do not depend on processes and shards, so that neither do the images, bit for bit. The
        first part has the images that are shown.
        """
        shown = self.num_images if self.on_hardware else min(self.num_images, GRID_IMAGES)
        starts = [0, *range(shown, self.num_images, self.batch_size)]
        parts = [range(first, end) for first, end in pairwise([*starts, self.num_images])]
        number, shards = self.shard
        return parts[(number - 1) * len(parts) // shards : number * len(parts) // shards]

    def lasting(self) -> dict[str, Any]:
        """What makes the images, as plain values: a resumed run must have the same."""
        names = ("num_images", "sampler", "steps", "backend", "seed", "batch_size")
        values = {name: getattr(self, name) for name in names}
        values |= {"hardware_steps": self.hardware_steps, "noise_source": self.noise.source}
        values["noise_pool"] = None if self.shares_pool else self.noise.pool
        if self.epoch is not None:
            values["epoch"] = self.epoch
        if self.schedule != self.config.diffusion.schedule_spec:
            values["variance"] = self.schedule.variance
        if self.shard != (1, 1):
            values["shard"] = "{}/{}".format(*self.shard)
        return {**values, **self.execution.given()}

    def pool_file(self, sampling: SamplingRun) -> Path:
        """The pool of noise: the training run's, or the sampling run's own."""
        return self.run.noise_file if self.shares_pool else sampling.noise_file

    @property
    def weights_file(self) -> Path:
        """The weights that images are drawn with."""
        return self.run.weights_file(self.epoch)

    @property
    def weights_sha256(self) -> str:
        """Of that file."""
        return hashlib.sha256(self.weights_file.read_bytes()).hexdigest()

    @property
    def noise_seconds(self) -> float:
        """Estimated QPU time of the pool of noise; 0 where it is there already, or simulated."""
        if self.noise.pool is None or self.shares_pool or not self.on_hardware:
            return 0.0
        return self.noise.bill(LEAST_QUBITS).qpu_seconds

    def backend_options(self) -> dict[str, Any]:
        """Keyword arguments of `get_backend`."""
        seeded = {"seed": self.seed} if check_backend_name(self.backend).seeded else {}
        return {**self.execution.given(), **seeded}


def plan_sampling(run: Run, request: SamplingRequest) -> SamplingPlan:
    """Fill in what the request leaves open, from the training run's configuration.

    Raises:
        RequestError: A name or number is not allowed, or the run has no model yet.
    """
    config = run.config()
    spec = _check_model(run, config, request.epoch)
    count, batch_size = _counts(spec, request)
    seed = config.training.seed if request.seed is None else request.seed
    if seed < 0:
        raise RequestError(f"--seed must be 0 or more, but is {seed}")
    backend = config.quantum.backend if request.backend is None else request.backend
    info = check_backend_name(backend)
    MODELS[config.model.name].process.check_backend(backend, exact=info.exact)
    check_execution(info, request)
    noise, shares_pool = _noise(run, config, request, backend)
    schedule = config.diffusion.schedule_spec
    sampler, steps = sampler_and_steps(
        config, request.sampler, request.steps, on_qpu=info.runs_jobs
    )
    schedule = with_variance(schedule, request.variance, spec, sampler)
    shots = MODELS[config.model.name].process.shots
    plan = SamplingPlan(
        run=run,
        config=config,
        schedule=schedule,
        num_images=count,
        sampler=sampler,
        steps=steps,
        backend=backend,
        seed=seed,
        noise=noise,
        shares_pool=shares_pool,
        batch_size=batch_size,
        processes=processes(request, info),
        epoch=request.epoch,
        shard=shard_of(request, info),
        device=request.device,
        execution=with_shots(request.execution, info, shots),
        hardware_steps=hardware_steps(request, sampler, steps),
        max_qpu_seconds=request.max_qpu_seconds,
        max_wait_seconds=request.max_wait_seconds,
        classes=spec.classes or None,
    )
    _check_shard(plan)
    return plan


def _check_shard(plan: SamplingPlan) -> None:
    """Refuse a shard without images."""
    number, shards = plan.shard
    if not plan.parts:
        batches = len(replace(plan, shard=(1, 1)).parts)
        raise RequestError(
            f"--shard {number}/{shards} is empty: {plan.num_images:,} images are drawn in "
            f"{batches} {'batch' if batches == 1 else 'batches'}, the first of up to {GRID_IMAGES} "
            "images, which shards do not divide; use fewer shards, or draw more --num-images"
        )


def _counts(spec: ModelSpec, request: SamplingRequest) -> tuple[int, int]:
    """Return the number of images, which the memory holds, and that of a batch."""
    count = IMAGES if request.num_images is None else request.num_images
    batch_size = BATCH_SIZE if request.batch_size is None else request.batch_size
    for name, value in (("num-images", count), ("batch-size", batch_size)):
        if not 1 <= value <= MOST_IMAGES:
            raise RequestError(f"--{name} must be 1 to {MOST_IMAGES}, but is {value}")
    # As bytes, and those of a batch as floats.
    check_memory(
        (count + 4 * min(count, batch_size))
        * (spec.row.process.planes * math.prod(spec.drawn_shape)),
        f"{count:,} {spec.row.process.kind.name} of {'x'.join(map(str, spec.drawn_shape[1:]))}",
        "draw fewer --num-images at a time, each time with another --seed",
    )
    return count, batch_size


def _noise(
    run: Run, config: Config, request: SamplingRequest, backend: str
) -> tuple[NoiseSpec, bool]:
    """Return where noise comes from, and whether it is the training run's pool."""
    usual = config.noise_spec
    source = usual.source if request.noise_source is None else request.noise_source
    # Any QPU of an account will do: "ibm" has become one by name when a run is resumed.
    paid = all(check_backend_name(name).paid for name in (backend, usual.backend))
    kept = usual.pool is not None and run.noise_file.exists()
    serves = backend == usual.backend or paid
    if kept and serves and source == usual.source and request.noise_pool is None:
        return usual, True
    return NoiseSpec(source, backend, request.noise_pool), False


def _check_model(run: Run, config: Config, epoch: str | None) -> ModelSpec:
    """Return what a run's model is; refuse a run without one, or with that of another run.

    Whether the weights are sound shows when they are loaded.
    """
    run.weights_file(epoch)
    spec = read_spec(run.folder)
    # The names of the classes are the data's.
    given = {"classes": config.model.classes is not None, "timesteps": spec.timesteps is not None}
    keys = {*type(config.model).model_fields, *config.diffusion.in_model}
    described = ModelSpec(**config.model.model_dump(), **config.diffusion.in_model)
    for key in sorted(key for key in keys if given.get(key, True)):
        wanted = getattr(described, key)
        if getattr(spec, key) != wanted:
            raise RequestError(
                f"'{run.folder}' holds another model than its config.toml describes: {key} is "
                f"{getattr(spec, key)}, not {wanted}; restore the run's own files"
            )
    images = read_images(run.folder)
    if spec.row.process.latents and images not in (None, config.data.dataset):
        raise RequestError(
            f"the autoencoder in '{run.folder}' was trained on {images}, not on "
            f"{config.data.dataset}, which its config.toml names; restore the run's own files"
        )
    return spec
