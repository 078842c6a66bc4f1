"""The sections of a configuration that say how it is trained."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from qhybrid.diffusion.specs import EmaSpec
from qhybrid.settings.option import Option
from qhybrid.settings.section import Count, Interval, Section
from qhybrid_circuits.errors import RequestError


def _split(value: Any) -> Any:
    """Return the parts of text that is separated by commas."""
    value = str(value) if isinstance(value, int) else value
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    parts = _split(value)
    if not isinstance(parts, list | tuple):
        return parts
    return [int(p) if isinstance(p, str) and p.isdecimal() else p for p in parts]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


class TrainingSection(Section):
    """The optimization.

    Attributes:
        optimizer: `adam`; or `qng`, the quantum natural gradient for the circuits' weights and Adam
            for the others, see `NaturalGradientSection`.
        epochs: Passes over the images.
        batch_size: Images per batch; all of the images where there are fewer.
        learning_rate: Of Adam, at its highest.
        betas: Of Adam.
        eps: Of Adam, 1e-30 to 1: less is 0 in single precision.
        lr_schedule: `constant`, or `cosine` decay to zero over the whole run.
        warmup_steps: Optimizer steps over which the learning rate rises linearly.
        gradient_clip: Largest 2-norm of the gradient of Adam's weights; 0 does not clip.
        accumulate: Batches whose gradients one optimizer step averages.
        precision: `32`, `bf16` for mixed precision, or `tf32` for matrix products in TF32, on a
            GPU only; circuits are computed in single precision whatever it is.
        device: `auto` takes a GPU where there is one.
        devices: Processes on each machine that train the run together, each with a GPU or with its
            share of the processors; None is those that torchrun, srun or mpirun started, else 1.
        nodes: Machines; None likewise.
        seed: Of everything random in the run.
        noise_source: A key of `qhybrid.diffusion.specs.NOISE_SOURCES`; `quantum` measures a circuit
            on the run's backend, `quantum:ghz` and `quantum:random-circuit` an entangled state.
        noise_pool: Numbers of quantum noise that are measured before the run and then used over and
            over; None measures new ones for every step.
        workers: Processes that load images; 0 loads in the training process, or keeps images of
            up to 1 GiB on the GPU.
        checkpoint_every: Epochs between checkpoints.
        keep_checkpoints: The newest ones that are kept.
        keep_epochs: Epochs whose weights are kept, for `qhybrid sample RUN --epoch N`; None keeps
            the newest weights alone.
        log_every: Optimizer steps between rows of metrics.csv.
        tracker: Where figures go, too: `wandb`, `mlflow` or `trackio`; events of `tensorboard` are
            always written.
        max_steps: Optimizer steps to stop after, should the epochs be more; None for no limit.
    """

    optimizer: Annotated[
        Literal["adam", "qng"],
        Option("qng: the quantum natural gradient for circuits, Adam for the rest."),
    ] = "adam"
    epochs: Annotated[Count, Option("Passes over the images.", metavar="N")] = 20
    batch_size: Annotated[Count, Option("Images per batch.", metavar="N")] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 6e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.99,
    )
    eps: Annotated[float, Field(ge=1e-30, le=1)] = 1e-8
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Interval = 50
    gradient_clip: Annotated[float, Field(ge=0)] = 1.0
    accumulate: Count = 1
    precision: Annotated[
        Literal["32", "tf32", "bf16"], BeforeValidator(_as_text), Option("Of the classical layers.")
    ] = "32"
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("Where the network runs.")] = "auto"
    devices: Annotated[
        Count | None, Option("GPUs, or processes, on each machine [1].", metavar="N")
    ] = None
    nodes: Annotated[Count | None, Option("Machines; see docs/cluster.md [1].", metavar="N")] = None
    seed: Annotated[int, Field(ge=0, lt=2**63), Option("Of everything random.", metavar="N")] = 0
    noise_source: Annotated[
        str, Option("gaussian, or quantum: measured on the backend.", metavar="NAME")
    ] = "gaussian"
    noise_pool: Count | None = None
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    checkpoint_every: Count = 1
    keep_checkpoints: Count = 2
    keep_epochs: Annotated[
        tuple[Count, ...] | None,
        BeforeValidator(_numbers),
        Option("Keep the weights of these epochs.", metavar="A,B", text=True),
    ] = None
    log_every: Count = 10
    tracker: Annotated[
        Literal["tensorboard", "wandb", "mlflow", "trackio"],
        Option("Where figures go beside the run's files."),
    ] = "tensorboard"
    max_steps: Count | None = None

    @model_validator(mode="after")
    def _reaches_the_epochs(self) -> Self:
        later = [epoch for epoch in self.keep_epochs or () if epoch > self.epochs]
        if later:
            raise RequestError(
                f"training.keep_epochs has {later[0]}, but training.epochs is {self.epochs}; "
                "leave it out, or train for more --epochs"
            )
        return self


class EvaluationSection(Section):
    """The comparison of drawn images with real ones while a run is trained.

    Images are drawn with the averaged weights, by the sampler and steps of `sampling`, the same
    noise every time. The weights of the best epoch are kept, for `qhybrid sample RUN --epoch best`.

    Attributes:
        every: Epochs from one evaluation to the next; the last epoch has one too. 0 for none.
        images: Images that are drawn, at least 100.
        features: As of `qhybrid evaluate --features`.
        figures: Which figures; some are measured together.
        best: The figure that the best epoch is chosen by, on the first of the features.
    """

    every: Annotated[
        Interval,
        Option("Epochs between evaluations [0: none].", metavar="N", flag="--evaluate-every"),
    ] = 0
    images: Annotated[int, Field(ge=100, le=10_000_000)] = 1000
    features: Annotated[tuple[str, ...], BeforeValidator(_split)] = ("classifier",)
    figures: Annotated[tuple[str, ...], BeforeValidator(_split)] = (
        "FID",
        "KID",
        "precision",
        "recall",
    )
    best: str = "FID"


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
        warmup: Whether the share rises to `decay`; without, it is `decay` from the first update on,
            and `start` and `power` are of no account.
    """

    decay: Annotated[float, Field(ge=0, lt=1)] = EmaSpec.decay
    every: Count = EmaSpec.every
    start: Interval = EmaSpec.start
    power: Annotated[float, Field(gt=0, le=1)] = EmaSpec.power
    warmup: bool = EmaSpec.warmup

    @property
    def spec(self) -> EmaSpec:
        """The average as the training loop takes it."""
        return EmaSpec(self.decay, self.every, self.start, self.power, self.warmup)


class TransferSection(Section):
    """The run or model whose weights this one starts from, see `qhybrid.training.transfer`.

    Its EMA weights are taken: those of model.safetensors, which its samples were drawn with. The
    optimizer starts afresh.

    Attributes:
        init_from: Folder of a training run; None starts all weights at random.
        model: A model that is trained first, in the folder `pretrained` of the run, with the same
            settings; its weights are taken then. It takes the place of `init_from`.
        epochs: Of that model; None is `training.epochs`.
        freeze: `classical` leaves the weights that were taken as they are, but for circuits'; None
            trains them too.
        vertex: `new` starts the vertex at random, `taken` takes what fits of it; None is `taken`
            with `freeze` and `new` without, as in the two papers.
    """

    init_from: Annotated[
        str | None, Option("Start from a run's weights, all but the vertex's.", metavar="RUN")
    ] = None
    model: str | None = None
    epochs: Count | None = None
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
        if self.model is not None and self.init_from is not None:
            raise RequestError(
                "transfer.model trains a model to start from, and --init-from names a run to start "
                "from; leave one of the two out"
            )
        if self.model is None and self.epochs is not None:
            raise RequestError(
                "transfer.epochs needs a model to train first; give one with --set transfer.model="
                "NAME"
            )
        if self.init_from is None and self.model is None and (self.freeze or self.vertex):
            raise RequestError(
                f"transfer.{'freeze' if self.freeze else 'vertex'} needs a run to start from; give "
                "one with --init-from RUN"
            )
        return self

    @property
    def takes_vertex(self) -> bool:
        """Whether weights of the vertex are taken where they fit."""
        return (self.vertex or ("taken" if self.freeze else "new")) == "taken"
