"""What a model predicts and how images are drawn from it; imports nothing heavy."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qhybrid.diffusion.schedules import NoiseScheduler, noise_scheduler
from qhybrid.diffusion.specs import (
    LEARNED_SCHEDULE,
    POSTERIOR,
    VARIANCES,
    P2Weighting,
    ScheduleSpec,
)
from qhybrid.kinds import IMAGES, Kind
from qhybrid.kinds import STATES as QUANTUM_STATES
from qhybrid_circuits.errors import RequestError
from qhybrid_circuits.plugins import load_reference

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.data import Dataset

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
        samplers: The samplers that can draw from such models, the usual one first; empty allows
            every sampler.
        scheduled: Whether the settings under `diffusion` say how much noise there is.
        planes: Channels of the model's input for each channel of an image.
        latents: Whether models take vectors of `dim` latents in the place of images.
        learned: As `home`, on the schedule that is trained with the model; None where models have
            none.
        shots: Executions of a circuit as a job unless a request says otherwise; None leaves the
            backend's default.
        kind: What models are trained on, and what is drawn from them.
        exact: Whether circuits must run on an exact backend.
        weighted: Whether the P2 weights of the settings are part of the loss.
        continuous: The subclass of `Process`, or "module:Class", of such models on a schedule in
            continuous time; None where there is none.
        variances: The variances that a step of the reverse process can have.
    """

    home: "str | type[Process]"
    models: str = "a model"
    timesteps: int | None = None
    sampler: str | None = None
    samplers: tuple[str, ...] = ()
    scheduled: bool = True
    planes: int = 1
    latents: bool = False
    learned: "str | type[Process] | None" = None
    shots: int | None = None
    kind: Kind = IMAGES
    exact: bool = False
    weighted: bool = True
    continuous: "str | type[Process] | None" = None
    variances: tuple[str, ...] = (POSTERIOR,)

    def check_backend(self, name: str, *, exact: bool) -> None:
        """Refuse a backend with errors for models whose circuits must be exact.

        Raises:
            RequestError: It has errors.
        """
        if self.exact and not exact:
            raise RequestError(
                f"{self.models} needs expectation values without errors, of which it makes density "
                f"matrices, but the backend is '{name}'; use statevector or aer"
            )

    def check_schedule(self, schedule: ScheduleSpec) -> None:
        """Refuse a schedule that such models, or the variance, cannot have.

        Raises:
            RequestError: It is in continuous time and they need whole timesteps, or it is the
                learned one and there is no bound to train it by.
        """
        if schedule.name == LEARNED_SCHEDULE and self.learned is None:
            raise RequestError(
                f"the schedule '{LEARNED_SCHEDULE}' is for models that predict the noise in "
                f"images, but this is {self.models} that predicts something else; choose another "
                "diffusion.schedule"
            )
        if schedule.continuous and self.continuous is None:
            raise RequestError(
                f"the schedule '{schedule.name}' is in continuous time, but {self.models} is "
                "trained at whole timesteps; choose another diffusion.schedule, e.g. linear"
            )
        fixed = not schedule.continuous and schedule.name != LEARNED_SCHEDULE
        if not fixed and schedule.variance != POSTERIOR:
            raise RequestError(
                f"diffusion.variance={schedule.variance} is of steps between whole timesteps of a "
                f"fixed schedule, but this is '{schedule.name}'; leave one of the two out"
            )

    def check_variance(self, variance: str) -> None:
        """Refuse a variance that the reverse process of such models cannot have.

        Raises:
            RequestError: It is none of `variances`.
        """
        if variance not in self.variances:
            raise RequestError(
                f"the reverse process of {self.models} has the variance "
                f"{' or '.join(self.variances)}, but was asked for {variance}; leave "
                "diffusion.variance out"
            )

    def check_sampler(self, schedule: ScheduleSpec, sampler: str, steps: int) -> None:
        """Refuse a sampler, or a number of steps, that cannot draw from such models.

        Raises:
            RequestError: The process allows one sampler with all timesteps, or some samplers, and
                this is none of them; or the sampler does not take such a number of steps.
        """
        from qhybrid.diffusion.samplers import check_sampler, latents_only

        row = check_sampler(sampler)
        if self.samplers and sampler not in self.samplers:
            raise RequestError(
                f"{self.models} is drawn from by the samplers {', '.join(self.samplers)}, but was "
                f"asked for {sampler}; choose one of these, or leave the sampler out"
            )
        if self.sampler is not None and (sampler, steps) != (self.sampler, schedule.timesteps):
            raise RequestError(
                f"{self.models} is drawn from by the sampler {self.sampler} with all "
                f"{schedule.timesteps} timesteps, but was asked for {sampler} with {steps}; leave "
                "sampler and steps out"
            )
        if row.scheduler is None and not self.latents:
            raise latents_only(sampler)
        if row.odd and steps % 2 == 0:
            raise RequestError(
                f"the sampler {sampler} evaluates the model twice at each noise level but the "
                f"last, an odd number of steps, but was asked for {steps}; take {steps - 1} "
                f"or {steps + 1}"
            )

    def build(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> "Process":
        """Return the process on a schedule; the arguments are those of `Process`.

        Raises:
            RequestError: Such models cannot have this schedule.
        """
        self.check_schedule(schedule)
        home = self.continuous if schedule.continuous else self.home
        if schedule.name == LEARNED_SCHEDULE and self.learned:
            home = self.learned
        process: Process = load_reference(home)(schedule, weighting, classes)
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


@dataclass(frozen=True)
class Preparation:
    """What a process may use before the first training step.

    Attributes:
        images: Returns the training images (B, C, H, W) in [-1, 1] of their numbers (B,).
        labels: Class of each training image, (N,), as the data set counts them.
        seed: Of all random numbers.
        picture: File that may show what was learned (PNG).
        on_step: Called as on_step(done, total).
        tell: Called with a line for people.
    """

    images: "Callable[[Tensor], Tensor]"
    labels: "Tensor"
    seed: int
    picture: Path
    on_step: Callable[[int, int], None]
    tell: Callable[[str], None]


class Process(ABC):
    """How images become what a model is trained on, and how images are drawn from the model.

    Attributes:
        info: The process's row.
        schedule: The noise of each timestep.
        weighting: The weight of each timestep in the loss, where the process has any.
        classes: How many classes models are told of; None where they are told of none.
        distance: What the loss of quantum states measures; None is its usual one.
        scheduler: Adds noise as the schedule says.
    """

    info: ProcessInfo
    distance: str | None = None

    def __init__(
        self, schedule: ScheduleSpec, weighting: P2Weighting, classes: int | None = None
    ) -> None:
        """Set up; see the attributes."""
        self.schedule, self.weighting, self.classes = schedule, weighting, classes
        self.scheduler = noise_scheduler(schedule)

    def bind(self, model: "nn.Module") -> None:  # noqa: B027
        """Take from the model that is trained what the process needs beside its predictions."""

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
            images: (B, C, H, W) in [-1, 1], or what `prepare` made of them.
            labels: Class of each, (B,), from 0.
            generator: Source of all random numbers but the noise.
            noise_source: Where the noise comes from.
        """

    @abstractmethod
    def chain(self, model: Callable[..., Any], draw: Draw) -> "Iterator[Tensor]":
        """Yield pure noise, then x after each step, of which `images` makes images."""

    def images(self, model: Callable[..., Any], x: "Tensor") -> "Tensor":
        """Return x of a chain as images (B, C, H, W) in about [-1, 1]; it usually is images."""
        return x

    def times(self, sampler: str, steps: int) -> list[float]:
        """Return the times at which a chain evaluates the model, in its order."""
        from qhybrid.diffusion.samplers import sampling_scheduler

        times: list[float] = sampling_scheduler(sampler, self.schedule, steps).timesteps.tolist()
        return times

    def present_scheduler(self) -> NoiseScheduler:
        """Return what adds noise as the schedule is by now; most schedules do not change."""
        return self.scheduler

    def prepare(
        self, model: Callable[..., Any], preparation: Preparation
    ) -> "Dataset[tuple[Tensor, int]] | None":
        """Train what must be there before the first step; most processes need nothing.

        Returns:
            Pairs of what `loss` takes for images, and labels; None where it takes the images.
        """
        return None

    def encode(self, model: Callable[..., Any], images: "Tensor") -> "Tensor":
        """Return what `loss` takes for images (B, C, H, W) once the model is prepared."""
        return images

    def labels(self, indices: range) -> "Tensor | None":
        """Return the class of each image, (B,), or None where models are told of none."""
        return None

    def check_images(self, pixels: "Tensor") -> None:  # noqa: B027
        """Refuse images (N, H, W, C) of bytes that such models cannot be trained on.

        Raises:
            RequestError: There are such images.
        """


EPSILON = ProcessInfo(
    "qhybrid.diffusion.epsilon:EpsilonProcess",
    continuous="qhybrid.diffusion.score:ScoreProcess",
    learned="qhybrid.diffusion.learned:LearnedProcess",
    variances=tuple(VARIANCES),
)
"""Models predict the noise in x_t (Ho et al. 2020; Song et al. 2021 in continuous time)."""

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

LATENT = ProcessInfo(
    "qhybrid.diffusion.latent:LatentProcess",
    models="a model of latents",
    samplers=("dpm++", "ddim", "ode", "sde-dpm++", "heun"),
    scheduled=False,
    latents=True,
)
"""Models denoise the latents of an autoencoder (Rombach et al. 2022; Karras et al. 2022)."""

DENSITY = ProcessInfo(
    "qhybrid.states.process:DensityProcess",
    models="a model of quantum states",
    timesteps=8,
    sampler="ddpm",
    planes=2,
    kind=QUANTUM_STATES,
    exact=True,
    weighted=False,
)
"""Circuits that take depolarized density matrices a step back (Jo et al. 2026, section 2.2)."""
