"""What to draw and where, and how the open choices are made; imports nothing heavy."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from qhybrid.diffusion.samplers import check_sampler, sampler_steps
from qhybrid.diffusion.specs import NoiseSpec, ScheduleSpec
from qhybrid.memory import check_memory
from qhybrid.models.model_file import read_spec
from qhybrid.models.rows import MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.option import Option
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.randomness.cost import LEAST_QUBITS, measured_seconds

MOST_IMAGES = 10_000_000
"""All images of a sampling run are held in memory."""

IMAGES, BATCH_SIZE = 64, 256
"""What is drawn, and in one evaluation of the model, unless told otherwise."""

MOST_SHOTS = 10_000_000
"""More than any service executes at once."""

DEVICE_SAMPLER, DEVICE_STEPS = "ddim", 10
"""What is taken on a QPU unless told otherwise: every step is paid for."""


@dataclass(frozen=True)
class ExecutionRequest:
    """How circuits are run where their values are not exact; None takes the backend's default.

    Attributes:
        shots: Executions of a circuit with one image's inputs.
        primitive: `estimator` or `sampler`.
        resilience_level: Error mitigation of the estimator: 0 none, 1 readout, 2 extrapolation.
        dynamical_decoupling: Whether pulses are played on qubits that wait.
        twirling: Whether gates are twirled.
        pack: Images that share an execution side by side, or `auto`; a number may be text.
        fractional: Whether to use rzz and rx of any angle.
        mode: `session`, `batch` or `job`, on IBM's QPUs.
    """

    shots: Annotated[
        int | None, Option("Executions per circuit and image [1024].", metavar="N")
    ] = None
    primitive: Annotated[Literal["estimator", "sampler"] | None, Option("On QPUs [estimator].")] = (
        None
    )
    resilience_level: Annotated[
        int | None, Option("Error mitigation of the estimator [1: readout].", metavar="0-2")
    ] = None
    dynamical_decoupling: Annotated[
        bool | None, Option("Play pulses on waiting qubits.", flag="--dynamical-decoupling")
    ] = None
    twirling: Annotated[bool | None, Option("Twirl gates.", flag="--twirling/--no-twirling")] = None
    pack: Annotated[
        int | str | None,
        Option("Images side by side in one execution [1].", metavar="auto|N", text=True),
    ] = None
    fractional: Annotated[
        bool | None, Option("Use rzz and rx of any angle.", flag="--fractional")
    ] = None
    mode: Annotated[
        Literal["session", "batch", "job"] | None,
        Option("Execution mode on IBM's QPUs [by plan]."),
    ] = None

    def __post_init__(self) -> None:
        """Read `pack`.

        Raises:
            RequestError: It is text, but not `auto` or a whole number from 1.
        """
        if isinstance(self.pack, str) and self.pack != "auto":
            try:
                number = int(self.pack)
            except ValueError:
                number = 0
            if number < 1:
                raise RequestError(
                    f"--pack must be auto or a whole number from 1, but is '{self.pack}'"
                )
            object.__setattr__(self, "pack", number)

    def given(self) -> dict[str, Any]:
        """What was asked for, as keyword arguments of `get_backend`."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SamplingRequest:
    """What to draw; None everywhere takes what the training run was configured with.

    Attributes:
        num_images: How many images; 64 where omitted.
        sampler: A key of `qhybrid.diffusion.SAMPLERS`.
        steps: Model evaluations per image. Without it, a sampler that is not the configured one
            takes its own default, and a QPU 10.
        backend: Where the circuits run.
        seed: Of the noise: the same seed gives the same images on an exact backend.
        noise_source: A key of `qhybrid.diffusion.specs.NOISE_SOURCES`.
        noise_pool: Numbers of quantum noise that are measured before the first image; without it
            those of a training run on the same backend serve, if it has any.
        batch_size: Images in one evaluation of the model; 256 where omitted.
        device: Where the network runs: `auto`, `cpu` or `cuda`.
        execution: How circuits are run, for backends that are not exact.
        hardware_steps: How many of the last steps run on the backend, the others on `statevector`;
            all where omitted.
        max_qpu_seconds: QPU time that must not be exceeded.
        max_wait_seconds: How long to wait for a job, in the queue and running; for ever if omitted.
    """

    num_images: Annotated[int | None, Option("How many images [64].", metavar="N")] = None
    sampler: Annotated[
        str | None,
        Option(
            "ddpm, ddim, dpm++, sde-dpm++, sde or ode [the run's; ddim on a QPU].",
            metavar="NAME",
        ),
    ] = None
    steps: Annotated[
        int | None, Option("Denoising steps [the run's, or the sampler's; 10].", metavar="N")
    ] = None
    backend: Annotated[
        str | None, Option("Where circuits run [the training run's backend].", metavar="NAME")
    ] = None
    seed: Annotated[int | None, Option("Of the noise [the run's seed].", metavar="N")] = None
    noise_source: Annotated[
        str | None,
        Option("gaussian, or quantum: measured on the backend [the run's].", metavar="NAME"),
    ] = None
    noise_pool: Annotated[
        int | None, Option("Numbers of quantum noise measured once [as needed].", metavar="N")
    ] = None
    batch_size: int | None = None
    device: str = "auto"
    execution: ExecutionRequest = field(default_factory=ExecutionRequest)
    hardware_steps: Annotated[
        int | None, Option("Only the last K steps on the backend [all].", metavar="K")
    ] = None
    max_qpu_seconds: Annotated[
        float | None, Option("Stop, resumable, before spending more.", metavar="S")
    ] = None
    max_wait_seconds: Annotated[
        float | None, Option("Stop, resumable, after waiting so long for a job.", metavar="S")
    ] = None


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

    def lasting(self) -> dict[str, Any]:
        """What makes the images, as plain values: a resumed run must have the same."""
        names = ("num_images", "sampler", "steps", "backend", "seed", "batch_size")
        values = {name: getattr(self, name) for name in names}
        values |= {"hardware_steps": self.hardware_steps, "noise_source": self.noise.source}
        values["noise_pool"] = None if self.shares_pool else self.noise.pool
        return {**values, **self.execution.given()}

    @property
    def noise_seconds(self) -> float:
        """Estimated QPU time of the pool of noise; 0 where it is there already, or simulated."""
        if self.noise.pool is None or self.shares_pool or not self.on_hardware:
            return 0.0
        return measured_seconds(self.noise.pool, LEAST_QUBITS)

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
    spec = _check_model(run, config)
    count = IMAGES if request.num_images is None else request.num_images
    batch_size = BATCH_SIZE if request.batch_size is None else request.batch_size
    for name, value in (("num-images", count), ("batch-size", batch_size)):
        if not 1 <= value <= MOST_IMAGES:
            raise RequestError(f"--{name} must be 1 to {MOST_IMAGES}, but is {value}")
    # As floats of a part and of the whole, and as bytes.
    check_memory(
        9 * count * math.prod(spec.input_shape),
        f"{count:,} images of {spec.image_size}x{spec.image_size}",
        "draw fewer --num-images at a time, each time with another --seed",
    )
    seed = config.training.seed if request.seed is None else request.seed
    if seed < 0:
        raise RequestError(f"--seed must be 0 or more, but is {seed}")
    backend = config.quantum.backend if request.backend is None else request.backend
    info = check_backend_name(backend)
    _check_execution(info, request)
    noise, shares_pool = _noise(run, config, request, backend)
    schedule = config.diffusion.schedule_spec
    sampler, steps = _sampler(config, schedule, request, info)
    hardware_steps = steps if request.hardware_steps is None else request.hardware_steps
    if not 1 <= hardware_steps <= steps:
        raise RequestError(
            f"--hardware-steps must be 1 to the {steps} steps of the sampler, but is "
            f"{hardware_steps}"
        )
    execution, shots = request.execution, MODELS[config.model.name].process.shots
    if execution.shots is None and info.runs_jobs and shots is not None:
        execution = replace(execution, shots=shots)
    return SamplingPlan(
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
        device=request.device,
        execution=execution,
        hardware_steps=hardware_steps,
        max_qpu_seconds=request.max_qpu_seconds,
        max_wait_seconds=request.max_wait_seconds,
        classes=spec.classes,
    )


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
    if kept and serves and source == "quantum" and request.noise_pool is None:
        return usual, True
    return NoiseSpec(source, backend, request.noise_pool), False


def _sampler(
    config: Config, schedule: ScheduleSpec, request: SamplingRequest, info: BackendInfo
) -> tuple[str, int]:
    on_hardware, process = info.runs_jobs, MODELS[config.model.name].process
    free = on_hardware and process.sampler is None
    usual = DEVICE_SAMPLER if free else config.sampling.sampler
    sampler = check_sampler(usual if request.sampler is None else request.sampler)
    steps = request.steps
    if steps is None and on_hardware and sampler.default_steps is not None:
        steps = min(DEVICE_STEPS, schedule.timesteps)
    elif steps is None and sampler.name == config.sampling.sampler:
        steps = config.sampling.steps
    steps = sampler_steps(sampler.name, schedule, steps)
    process.check_sampler(schedule, sampler.name, steps)
    return sampler.name, steps


def _check_execution(info: BackendInfo, request: SamplingRequest) -> None:
    """Refuse options that are out of range or have no meaning on the backend."""
    execution, limits = request.execution, ("max_qpu_seconds", "max_wait_seconds")
    for name, value, least, most in (
        ("shots", execution.shots, 1, MOST_SHOTS),
        ("resilience-level", execution.resilience_level, 0, 2),
    ):
        if value is not None and not least <= value <= most:
            raise RequestError(f"--{name} must be {least} to {most:,}, but is {value}")
    for name in limits:
        limit = getattr(request, name)
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            flag = name.replace("_", "-")
            raise RequestError(f"--{flag} must be a number from 0, but is {limit}")
    if execution.primitive == "sampler" and execution.resilience_level:
        raise RequestError(
            f"--resilience-level {execution.resilience_level} is the estimator's, but --primitive "
            "is sampler; leave one of them out"
        )
    others = [n for n in (*limits, "hardware_steps") if getattr(request, n) is not None]
    refused = [name for name in (*execution.given(), *others) if name not in info.takes]
    if refused:
        raise RequestError(
            f"--{refused[0].replace('_', '-')} does not apply to the backend '{info.name}', which "
            f"{info.refusal}; leave it out, or choose another --backend"
        )


def _check_model(run: Run, config: Config) -> ModelSpec:
    """Return what a run's model is; refuse a run without one, or with that of another run.

    Whether the weights are sound shows when they are loaded.
    """
    run.check_model()
    spec = read_spec(run.folder)
    described = config.model.model_dump()
    if spec.timesteps is not None:
        described["timesteps"] = config.diffusion.timesteps
    for key, wanted in described.items():
        if getattr(spec, key) != wanted:
            raise RequestError(
                f"'{run.folder}' holds another model than its config.toml describes: {key} is "
                f"{getattr(spec, key)}, not {wanted}; restore the run's own files"
            )
    return spec
