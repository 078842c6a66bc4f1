"""What a model predicts and how images are drawn from it; imports nothing heavy."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import load_reference

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qhybrid.diffusion.noise import NoiseSource, NoiseStream


@dataclass(frozen=True)
class ProcessInfo:
    """The row of a diffusion process: what must be known of it before torch is imported.

    Attributes:
        home: The subclass of `Process`, or "module:Class".
        models: What models of this process are called in messages.
        timesteps: Length T of the diffusion unless a request says otherwise; None leaves the
            configuration's default.
        sampler: The only sampler that can draw from such models, with all timesteps; None allows
            every sampler.
        planes: Channels of the model's input for each channel of an image.
        shots: Executions of a circuit as a job unless a request says otherwise; None leaves the
            backend's default.
    """

    home: "str | type[Process]"
    models: str = "a model"
    timesteps: int | None = None
    sampler: str | None = None
    planes: int = 1
    shots: int | None = None

    def check_sampler(self, schedule: ScheduleSpec, sampler: str, steps: int) -> None:
        """Refuse a sampler, or a number of steps, that cannot draw from such models.

        Raises:
            RequestError: The process allows one sampler with all timesteps, and this is not it.
        """
        if self.sampler is not None and (sampler, steps) != (self.sampler, schedule.timesteps):
            raise RequestError(
                f"{self.models} is drawn from by the sampler {self.sampler} with all "
                f"{schedule.timesteps} timesteps, but was asked for {sampler} with {steps}; leave "
                "sampler and steps out"
            )

    def build(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> "Process":
        """Return the process on a schedule; the arguments are those of `Process`."""
        process: Process = load_reference(self.home)(schedule, weighting, classes)
        # A subclass without a row of its own would have that of its base.
        process.info = self
        return process


@dataclass(frozen=True)
class Draw:
    """What is drawn together, and how.

    Attributes:
        sampler: A name that the process allows.
        steps: Model evaluations per image.
        indices: Numbers of the B images among all that are drawn.
        shape: (C, H, W).
        generators: One for each image.
        device: Torch device of the model.
        noise: Where noise comes from.
    """

    sampler: str
    steps: int
    indices: range
    shape: tuple[int, int, int]
    generators: "list[torch.Generator]"
    device: "torch.device"
    noise: "NoiseSource"

    def streams(self) -> "list[NoiseStream]":
        """Return the noise of each image."""
        return [self.noise.stream(generator) for generator in self.generators]


class Process(ABC):
    """How images become what a model is trained on, and how images are drawn from the model.

    Attributes:
        info: The process's row.
        schedule: The noise of each timestep.
        weighting: The weight of each timestep in the loss, where the process has any.
        classes: How many classes models are told of; None where they are told of none.
        scheduler: Adds noise as the schedule says.
    """

    info: ProcessInfo

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; see the attributes."""
        self.schedule, self.weighting, self.classes = schedule, weighting, classes
        self.scheduler = noise_scheduler(schedule)

    @abstractmethod
    def loss(
        self,
        model: Callable[..., Any],
        images: "Tensor",
        labels: "Tensor",
        generator: "torch.Generator",
        noise_source: "NoiseSource",
    ) -> "Tensor":
        """Return a scalar that training minimizes.

        Args:
            model: What is trained.
            images: (B, C, H, W) in [-1, 1].
            labels: Class of each, (B,), from 0.
            generator: Source of all random numbers but the noise.
            noise_source: Where the noise comes from.
        """

    @abstractmethod
    def chain(self, model: Callable[..., Any], draw: Draw) -> "Iterator[Tensor]":
        """Yield pure noise, then x after each step, as images (B, C, H, W) in about [-1, 1]."""

    def labels(self, indices: range) -> "Tensor | None":
        """Return the class of each image, (B,), or None where models are told of none."""
        return None

    def check_images(self, pixels: "Tensor") -> None:  # noqa: B027
        """Refuse images (N, H, W, C) of bytes that such models cannot be trained on.

        Raises:
            RequestError: There are such images.
        """


EPSILON = ProcessInfo("qhybrid.diffusion.epsilon:EpsilonProcess")
"""Models predict the noise in x_t (Ho et al. 2020)."""

STATES = ProcessInfo(
    "qhybrid.diffusion.state_sampling:StateProcess",
    models="a model of states",
    timesteps=10,
    sampler="ddpm",
    planes=2,
    # In 81 bases, the usual 1,024 executions each would be more than a job may hold.
    shots=256,
)
"""Models predict the direction of x_(t-1) as a complex vector (Jo et al. 2026)."""
