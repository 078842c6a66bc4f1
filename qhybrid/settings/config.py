"""The configuration of a training run: every key, its default and its limits."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from qhybrid.diffusion.specs import TRAINED_BETAS, EmaSpec, NoiseSpec, P2Weighting, ScheduleSpec
from qhybrid.settings.option import Option
from qhybrid.settings.process_settings import with_process_settings
from qhybrid.settings.section import Count, Interval, Section
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import is_reference


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


class ModelSection(Section):
    """Which network, see `qhybrid.models.ModelSpec`; the data decide image size and channels.

    Without `dim`, `ansatz_layers` or `variant` the model has its own.

    Attributes:
        name: A name that `qhybrid models` lists, or `module:ROW`.
        dim: Width of the first level; the model's own where omitted.
        ansatz_layers: Layers of its circuits; the model's own where omitted.
        variant: The model's own first one where omitted.
    """

    name: Annotated[
        str, Option("Network; see `qhybrid models`.", metavar="NAME", flag="--model")
    ] = "1hqconv-qvunet"
    dim: Annotated[int, Field(ge=2)] = 10
    ansatz_layers: Count = 3
    variant: str = "paper"

    @model_validator(mode="before")
    @classmethod
    def _has_its_own_size(cls, values: Any) -> Any:
        from qhybrid.models.spec import own_settings

        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        return {**own_settings(values["name"]), **values}

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        from qhybrid.models.spec import ModelSpec

        ModelSpec(**self.model_dump())
        return self


class DataSection(Section):
    """Which images.

    Attributes:
        dataset: A name that `qhybrid datasets` lists, an .npz file or a folder of images.
        classes: Labels to keep; None keeps all.
        image_size: Side in pixels that images are resized to; None keeps the data's own.
    """

    dataset: Annotated[
        str, Option("Images; see `qhybrid datasets`.", metavar="NAME|FILE.npz|FOLDER")
    ] = "digits"
    classes: Annotated[
        tuple[str, ...] | None,
        Option("Keep only these labels, e.g. 0,1.", metavar="A,B", text=True),
    ] = None
    image_size: Count | None = None

    @field_validator("dataset")
    @classmethod
    def _names_data(cls, dataset: str) -> str:
        from qhybrid.data.catalog import resolve_dataset

        try:
            if resolve_dataset(dataset).path is None:
                return dataset
        except UnknownNameError:
            raise
        except RequestError:
            if is_reference(dataset):
                raise
            # A run's configuration stays readable without its images; who reads them checks.
        return str(Path(os.path.expanduser(dataset)).absolute())

    @field_validator("image_size")
    @classmethod
    def _reaches_the_vertex(cls, image_size: int | None) -> int | None:
        from qhybrid.models.spec import multipliers

        if image_size is not None:
            multipliers(image_size)
        return image_size

    @field_validator("classes", mode="before")
    @classmethod
    def _split_classes(cls, classes: Any) -> Any:
        if isinstance(classes, int | str):
            classes = str(classes).split(",")
        if isinstance(classes, list | tuple):
            return tuple(str(label).strip() for label in classes) or None
        return classes


class DiffusionSection(Section):
    """The noise schedule and the P2 weights (k + SNR)^-gamma of the loss.

    Attributes:
        schedule: A key of `qhybrid.diffusion.specs.SCHEDULES`.
        timesteps: Length of the diffusion.
        beta_start: First beta, of schedules that run from one beta to another; None is 1e-4.
        beta_end: Last beta, of the same; None is 0.02.
        betas: One a timestep, instead of a schedule by name.
        p2_k: k.
        p2_gamma: gamma; 0 weighs all timesteps alike.
    """

    schedule: str = ScheduleSpec.name
    timesteps: Count = ScheduleSpec.timesteps
    beta_start: float | None = ScheduleSpec.beta_start
    beta_end: float | None = ScheduleSpec.beta_end
    betas: tuple[float, ...] | None = ScheduleSpec.betas
    p2_k: Annotated[float, Field(gt=0)] = P2Weighting.k
    p2_gamma: Annotated[float, Field(ge=0)] = P2Weighting.gamma

    @model_validator(mode="before")
    @classmethod
    def _is_as_long_as_its_betas(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("betas"), list | tuple):
            return values
        count = len(values["betas"])
        if count < 2:
            raise RequestError(
                f"diffusion.betas must list at least 2 levels of noise, one a timestep, but lists "
                f"{count}; list more, or choose a diffusion.schedule by name"
            )
        return {"schedule": TRAINED_BETAS, "timesteps": count, **values}

    @model_validator(mode="after")
    def _is_a_schedule(self) -> Self:
        _ = self.schedule_spec
        return self

    @property
    def weighting(self) -> P2Weighting:
        """The weights of the loss as the diffusion process takes them."""
        return P2Weighting(self.p2_k, self.p2_gamma)

    @property
    def schedule_spec(self) -> ScheduleSpec:
        """The schedule as the diffusion process takes it."""
        return ScheduleSpec(
            self.schedule, self.timesteps, self.beta_start, self.beta_end, self.betas
        )


class TrainingSection(Section):
    """The optimization.

    Attributes:
        optimizer: `adam`; or `qng`, the quantum natural gradient for the circuits' weights and Adam
            for the others, see `NaturalGradientSection`.
        epochs: Passes over the images.
        batch_size: Images a batch; all of the images where there are fewer.
        learning_rate: Of Adam, at its highest.
        betas: Of Adam.
        eps: Of Adam.
        lr_schedule: `constant`, or `cosine` decay to zero over the whole run.
        warmup_steps: Optimizer steps over which the learning rate rises linearly.
        gradient_clip: Largest 2-norm of the gradient of Adam's weights; 0 does not clip.
        accumulate: Batches whose gradients one optimizer step averages.
        precision: `32`, or `bf16` for mixed precision.
        device: `auto` takes a GPU where there is one.
        seed: Of everything random in the run.
        noise_source: A key of `qhybrid.diffusion.specs.NOISE_SOURCES`; `quantum` measures a circuit
            on the run's backend.
        noise_pool: Numbers of quantum noise that are measured before the run and then used over and
            over; None measures new ones for every step.
        workers: Processes that load images; 0 loads in the training process.
        checkpoint_every: Epochs between checkpoints.
        keep_checkpoints: The newest ones that are kept.
        log_every: Optimizer steps between rows of metrics.csv.
        max_steps: Optimizer steps to stop after, should the epochs be more; None for no limit.
    """

    optimizer: Annotated[
        Literal["adam", "qng"],
        Option("qng: the quantum natural gradient for circuits, Adam for the rest."),
    ] = "adam"
    epochs: Annotated[Count, Option("Passes over the images.", metavar="N")] = 20
    batch_size: Annotated[Count, Option("Images a batch.", metavar="N")] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 6e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.99,
    )
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Interval = 50
    gradient_clip: Annotated[float, Field(ge=0)] = 1.0
    accumulate: Count = 1
    precision: Annotated[
        Literal["32", "bf16"], BeforeValidator(_as_text), Option("Of the classical layers.")
    ] = "32"
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("Where the network runs.")] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63), Option("Of everything random.", metavar="N")] = 0
    noise_source: Annotated[
        str, Option("gaussian, or quantum: measured on the backend.", metavar="NAME")
    ] = "gaussian"
    noise_pool: Count | None = None
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    checkpoint_every: Count = 1
    keep_checkpoints: Count = 2
    log_every: Count = 10
    max_steps: Count | None = None


class NaturalGradientSection(Section):
    """The step of the circuits' weights, -rate (G + r 1)^-1 gradient, with the optimizer `qng`.

    Its settings are without effect with `adam`.

    Attributes:
        learning_rate: At its highest; it rises and decays as Adam's does.
        metric: G is the `full` Fubini-Study metric, or has its blocks of gates that can act at one
            time alone (`block-diagonal`).
        regularization: r, what is added to the diagonal.
        samples: Inputs of a circuit in this step that its G is the average of.
        every: Steps from one computation of G to the next.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 0.3
    metric: Literal["full", "block-diagonal"] = "full"
    regularization: Annotated[float, Field(gt=0, le=1000)] = 0.1
    samples: Count = 8
    every: Count = 1


class EmaSection(Section):
    """The moving average of the weights, see `qhybrid.diffusion.specs.EmaSpec`.

    Attributes:
        decay: Largest share of itself that the average keeps at an update.
        every: Optimizer steps between updates.
        start: Last optimizer step at which the weights are plainly copied.
        power: Speed of the warm-up.
    """

    decay: Annotated[float, Field(ge=0, lt=1)] = EmaSpec.decay
    every: Count = EmaSpec.every
    start: Interval = EmaSpec.start
    power: Annotated[float, Field(gt=0, le=1)] = EmaSpec.power

    @property
    def spec(self) -> EmaSpec:
        """The average as the training loop takes it."""
        return EmaSpec(self.decay, self.every, self.start, self.power)


class QuantumSection(Section):
    """Where circuits run and how they are differentiated.

    Attributes:
        backend: A name that `qhybrid backends` lists.
        gradient: A method of the backend; None takes its best one.
        noise_aware: Train with the errors of this fake device: one Pauli trajectory a sample, on
            qhybrid's engine; None trains without.
    """

    backend: Annotated[
        str, Option("Where circuits run; see `qhybrid backends`.", metavar="NAME")
    ] = "statevector"
    gradient: Annotated[
        str | None, Option("How circuits are differentiated [the backend's best].", metavar="NAME")
    ] = None
    noise_aware: Annotated[
        str | None, Option("Train with the errors of a device, e.g. fake_fez.", metavar="FAKE")
    ] = None

    @model_validator(mode="after")
    def _exists(self) -> Self:
        from qhybrid_runtime.backends.registry import check_backend_name, check_gradient

        info = check_backend_name(self.backend)
        if self.noise_aware is not None:
            check_backend_name(f"noise-aware:{self.noise_aware}")
            if info.name != "statevector":
                raise RequestError(
                    f"noise-aware training runs on the backend 'statevector', not on "
                    f"'{self.backend}'; leave one of the two out"
                )
        if self.gradient is not None:
            check_gradient(self.backend, self.gradient)
        return self


class TransferSection(Section):
    """The run whose weights this one starts from, see `qhybrid.training.transfer`.

    Its EMA weights are taken: those of model.safetensors, which its samples were drawn with. The
    optimizer starts afresh.

    Attributes:
        init_from: Folder of a training run; None starts all weights at random.
        freeze: `classical` leaves the weights that were taken as they are, but for circuits'; None
            trains them too.
        vertex: `new` starts the vertex at random, `taken` takes what fits of it; None is `taken`
            with `freeze` and `new` without, as in the two papers.
    """

    init_from: Annotated[
        str | None, Option("Start from a run's weights, all but the vertex's.", metavar="RUN")
    ] = None
    freeze: Annotated[
        Literal["classical"] | None,
        Option("Leave the weights taken as they are, but for circuits'."),
    ] = None
    vertex: Literal["new", "taken"] | None = None

    @field_validator("init_from")
    @classmethod
    def _is_absolute(cls, folder: str | None) -> str | None:
        return None if folder is None else str(Path(os.path.expanduser(folder)).absolute())

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.init_from is None and (self.freeze or self.vertex):
            raise RequestError(
                f"transfer.{'freeze' if self.freeze else 'vertex'} needs a run to start from; give "
                "one with --init-from RUN"
            )
        return self

    @property
    def takes_vertex(self) -> bool:
        """Whether weights of the vertex are taken where they fit."""
        return (self.vertex or ("taken" if self.freeze else "new")) == "taken"


class SamplingSection(Section):
    """The grid of samples that each epoch ends with, and the defaults of `qhybrid sample`.

    Attributes:
        sampler: `ddpm`, `ddim`, `dpm++`, `sde-dpm++`, `sde`, `ode`, or that of another package.
        steps: Model evaluations an image; at most `diffusion.timesteps`.
        num_images: Images on the grid.
    """

    sampler: str = "ddim"
    steps: Count = 20
    num_images: Annotated[int, Field(ge=1, le=10_000)] = 25

    @field_validator("sampler")
    @classmethod
    def _exists(cls, sampler: str) -> str:
        from qhybrid.diffusion.samplers import check_sampler

        return check_sampler(sampler).name


class Config(Section):
    """The whole configuration; the defaults draw 8x8 digits within minutes on a laptop.

    `Config()` is that default, `load_config` reads files and `key=value` overrides.
    """

    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    diffusion: DiffusionSection = DiffusionSection()
    training: TrainingSection = TrainingSection()
    natural_gradient: NaturalGradientSection = NaturalGradientSection()
    ema: EmaSection = EmaSection()
    quantum: QuantumSection = QuantumSection()
    transfer: TransferSection = TransferSection()
    sampling: SamplingSection = SamplingSection()

    @model_validator(mode="after")
    def _has_a_metric(self) -> Self:
        from qhybrid.models.rows import MODELS
        from qhybrid_runtime.backends.registry import check_backend_name

        if self.training.optimizer != "qng":
            return self
        instead = "use --optimizer adam"
        row = MODELS[self.model.name]
        if not row.circuits:
            raise RequestError(
                f"optimizer 'qng' is for the weights of circuits, but {self.model.name} has no "
                f"circuits; {instead}, or a hybrid that `qhybrid models` lists"
            )
        if not row.circuit_weights:
            raise RequestError(
                "optimizer 'qng' is for the weights of circuits, but the circuit of "
                f"{self.model.name} has inputs only; {instead}"
            )
        if self.quantum.noise_aware is not None:
            raise RequestError(
                "optimizer 'qng' takes the metric of circuits without errors, and cannot be used "
                f"with noise-aware training; {instead}"
            )
        if not check_backend_name(self.quantum.backend).exact:
            raise RequestError(
                "optimizer 'qng' takes the metric of circuits without errors, so its backend must "
                f"be statevector or aer, but is '{self.quantum.backend}'; {instead} there"
            )
        return self

    @model_validator(mode="after")
    def _has_noise(self) -> Self:
        _ = self.noise_spec
        return self

    @property
    def noise_spec(self) -> NoiseSpec:
        """Where the noise of training comes from."""
        training = self.training
        return NoiseSpec(training.noise_source, self.quantum.backend, training.noise_pool)

    @model_validator(mode="before")
    @classmethod
    def _takes_its_own_steps(cls, values: Any) -> Any:
        return with_process_settings(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _steps_fit_the_schedule(self) -> Self:
        from qhybrid.models.rows import MODELS
        from qhybrid.models.spec import ModelSpec

        diffusion, sampling = self.diffusion, self.sampling
        ModelSpec(self.model.name, timesteps=diffusion.timesteps)
        process = MODELS[self.model.name].process
        process.check_sampler(diffusion.schedule_spec, sampling.sampler, sampling.steps)
        if self.sampling.steps > self.diffusion.timesteps:
            raise ValueError(
                f"sampling.steps ({self.sampling.steps}) must not exceed diffusion.timesteps "
                f"({self.diffusion.timesteps}); lower the one or raise the other"
            )
        return self
