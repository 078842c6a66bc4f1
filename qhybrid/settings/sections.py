"""The sections of a configuration that say what is trained: model, data, diffusion, circuits."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from qhybrid.diffusion.specs import TRAINED_BETAS, P2Weighting, ScheduleSpec
from qhybrid.settings.option import Option
from qhybrid.settings.section import Count, Section
from qhybrid_circuits.encoding_names import check_encoding
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import is_reference


class ModelSection(Section):
    """Which network, see `qhybrid.models.ModelSpec`; the data decide image size and channels.

    What is omitted is the model's own.

    Attributes:
        name: A name that `qhybrid models` lists, or `module:ROW`.
        dim: Width of the first level, or number of latents.
        ansatz_layers: Layers of its circuits.
        variant: One of the model's own; the first one where omitted.
        ansatz: Of models with circuits: a name of `qhybrid_circuits.ANSATZE`, or `module:function`.
        encoding: Of the same: `angle`, `dense-angle`, `phase` or `amplitude`, in the place of the
            ansatz's own.
        topology: Of the same: the ansatz's pairs of qubits, e.g. `heavy-hex` or `line`.
        circuits: Of `qlatent` alone: circuits side by side.
    """

    name: Annotated[
        str, Option("Network; see `qhybrid models`.", metavar="NAME", flag="--model")
    ] = "1hqconv-qvunet"
    dim: Annotated[int, Field(ge=2)] = 10
    ansatz_layers: Count = 3
    variant: str = "paper"
    ansatz: str | None = None
    encoding: str | None = None
    topology: str | None = None
    circuits: Count | None = None

    @field_validator("encoding")
    @classmethod
    def _is_spelt_as_in_records(cls, encoding: str | None) -> str | None:
        return None if encoding is None else check_encoding(encoding)

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
        limit: Images to keep at most: a random part, the same in every run; None keeps all.
    """

    dataset: Annotated[
        str, Option("Images; see `qhybrid datasets`.", metavar="NAME|FILE.npz|FOLDER")
    ] = "digits"
    classes: Annotated[
        tuple[str, ...] | None,
        Option("Keep only these labels, e.g. 0,1.", metavar="A,B", text=True),
    ] = None
    image_size: Count | None = None
    limit: Count | None = None

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


class QuantumSection(Section):
    """Where circuits run and how they are differentiated.

    Attributes:
        backend: A name that `qhybrid backends` lists.
        gradient: A method of the backend; None takes its best one.
        noise_aware: Train with the errors of this fake QPU: one Pauli trajectory per sample, on
            qhybrid's engine; None trains without.
    """

    backend: Annotated[
        str, Option("Where circuits run; see `qhybrid backends`.", metavar="NAME")
    ] = "statevector"
    gradient: Annotated[
        str | None, Option("How circuits are differentiated [the backend's best].", metavar="NAME")
    ] = None
    noise_aware: Annotated[
        str | None, Option("Train with the errors of a QPU, e.g. fake_fez.", metavar="FAKE")
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


class SamplingSection(Section):
    """The grid of samples that each epoch ends with, and the defaults of `qhybrid sample`.

    Attributes:
        sampler: `ddpm`, `ddim`, `dpm++`, `sde-dpm++`, `sde`, `ode`, or that of another package.
        steps: Model evaluations per image; at most `diffusion.timesteps`.
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
