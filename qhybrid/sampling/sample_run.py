"""The way into sampling: everything that can be refused is refused before torch is imported."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.config import Config
from qhybrid.diffusion.samplers import check_sampler, sampler_steps
from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.files import user_path
from qhybrid.models import read_spec
from qhybrid.run_folder import Run, check_free, open_run
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.names import check_backend_name

if TYPE_CHECKING:
    from rich.console import Console


MOST_IMAGES = 10_000_000
"""All images of a sampling run are held in memory."""


@dataclass(frozen=True)
class SamplingRequest:
    """What to draw; None everywhere takes what the training run was configured with.

    Attributes:
        num_images: How many images.
        sampler: A key of `qhybrid.diffusion.SAMPLERS`.
        steps: Model evaluations an image. Without it, a sampler that is not the configured one
            takes its own default.
        backend: Where the circuits run.
        seed: Of the noise: the same seed gives the same images.
        batch_size: Images in one evaluation of the model.
        device: `auto`, `cpu` or `cuda`.
    """

    num_images: int = 64
    sampler: str | None = None
    steps: int | None = None
    backend: str | None = None
    seed: int | None = None
    batch_size: int = 256
    device: str = "auto"


@dataclass(frozen=True)
class SamplingRun:
    """A sampling run's folder.

    Attributes:
        folder: Its path; everything below lies in it.
    """

    folder: Path

    @property
    def images_file(self) -> Path:
        """The images: uint8 (N, H, W, C) under the key `images`."""
        return self.folder / "images.npz"

    @property
    def grid_file(self) -> Path:
        """The images side by side (PNG)."""
        return self.folder / "grid.png"

    @property
    def animation_file(self) -> Path:
        """From noise to images (GIF)."""
        return self.folder / "denoising.gif"

    @property
    def manifest_file(self) -> Path:
        """How the images were made (JSON)."""
        return self.folder / "manifest.json"


@dataclass(frozen=True)
class SamplingPlan:
    """A request with every open choice made.

    Attributes:
        run: The training run.
        config: Its configuration.
        schedule: Its noise schedule.
        num_images: How many images.
        sampler: The sampler's name.
        steps: Model evaluations an image.
        backend: The backend's name.
        seed: Of the noise.
        batch_size: Images in one evaluation of the model.
        device: `auto`, `cpu` or `cuda`.
    """

    run: Run
    config: Config
    schedule: ScheduleSpec
    num_images: int
    sampler: str
    steps: int
    backend: str
    seed: int
    batch_size: int
    device: str


def sample_run(
    run: Run | Path | str,
    request: SamplingRequest | None = None,
    *,
    out: Path | str | None = None,
    console: "Console | None" = None,
) -> SamplingRun:
    """Draw images from a training run's EMA weights.

    Args:
        run: The training run or its folder.
        request: What to draw.
        out: The new sampling run's folder; None takes `RUN/samplings/SAMPLER-N`.
        console: Where progress is shown; None shows nothing.

    Raises:
        RequestError: The request is wrong, or the folder is not a run with a model in it.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    folder = None if out is None else user_path(out)
    if folder is not None:
        check_free(folder)
    plan = plan_sampling(run, request or SamplingRequest())

    with nullcontext() if console is None else console.status("loading torch"):
        from qhybrid.sampling.session import run_sampling

    return run_sampling(plan, folder=folder, console=console)


def plan_sampling(run: Run, request: SamplingRequest) -> SamplingPlan:
    """Fill in what the request leaves open, from the training run's configuration.

    Raises:
        RequestError: A name or number is not allowed, or the run has no model yet.
    """
    config = run.config()
    _check_model(run, config)
    schedule = ScheduleSpec(config.diffusion.schedule, config.diffusion.timesteps)
    sampler = check_sampler(
        config.sampling.sampler if request.sampler is None else request.sampler
    ).name
    configured = config.sampling.steps if sampler == config.sampling.sampler else None
    backend = config.quantum.backend if request.backend is None else request.backend
    check_backend_name(backend)
    for name, value in (("num-images", request.num_images), ("batch-size", request.batch_size)):
        if not 1 <= value <= MOST_IMAGES:
            raise RequestError(f"--{name} must be 1 to {MOST_IMAGES}, but is {value}")
    seed = config.training.seed if request.seed is None else request.seed
    if seed < 0:
        raise RequestError(f"--seed must be 0 or more, but is {seed}")
    return SamplingPlan(
        run=run,
        config=config,
        schedule=schedule,
        num_images=request.num_images,
        sampler=sampler,
        steps=sampler_steps(
            sampler, schedule, configured if request.steps is None else request.steps
        ),
        backend=backend,
        seed=seed,
        batch_size=request.batch_size,
        device=request.device,
    )


def _check_model(run: Run, config: Config) -> None:
    """Refuse a run without a model, or with that of another run.

    Whether the weights are sound shows when they are loaded.
    """
    if not run.model_file.is_file():
        raise RequestError(
            f"the run '{run.folder}' has no model.safetensors: it has not reached its first "
            f"checkpoint; continue it with `qhybrid train --resume --out {run.folder}`"
        )
    spec = read_spec(run.folder)
    for key, wanted in config.model.model_dump().items():
        if getattr(spec, key) != wanted:
            raise RequestError(
                f"'{run.folder}' holds another model than its config.toml describes: {key} is "
                f"{getattr(spec, key)}, not {wanted}; restore the run's own files"
            )
