"""The sections of a configuration that say what is trained: model, data, diffusion, circuits."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from qhybrid.diffusion.specs import (
    LEARNED_SCHEDULE,
    SDE_ENDS,
    TRAINED_BETAS,
    P2Weighting,
    ScheduleSpec,
)
from qhybrid.settings.option import Option
from qhybrid.settings.section import Count, Interval, Section
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
        quanvolution_layers: Of `quanvunet` and `fqconv-quanvunet` alone: layers of the circuits in
            the second encoder level; `ansatz_layers` where omitted.
        frequencies: Of the time embedding of `light-unet` and `qattention-unet` alone: `ho2020`, or
            `chen2025`, equation 5 of their paper; None is the variant's own.
        ancillas: Of `qreverse` alone: qubits that each step appends and measures, 0 to 4.
        skip: Of `qbottleneck-unet` alone: whether the decoder reads the input beside the circuit's
            features.
        classes: Of `qbottleneck-unet` alone: `none` tells it no class; where omitted it has weights
            for each class of the data.
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
    quanvolution_layers: Count | None = None
    frequencies: str | None = None
    ancillas: Interval | None = None
    skip: bool | None = None
    classes: str | None = None

    @field_validator("classes", mode="before")
    @classmethod
    def _are_none(cls, classes: Any) -> Any:
        if classes not in (None, "none"):
            raise RequestError(
                f"model.classes can only be none, but is {classes!r}: the classes are those of the "
                "data; to train on some of them, set data.classes"
            )
        return classes

    @field_validator("encoding")
    @classmethod
    def _is_spelt_as_in_records(cls, encoding: str | None) -> str | None:
        return None if encoding is None else check_encoding(encoding)

    @model_validator(mode="before")
    @classmethod
    def _has_its_own_size(cls, values: Any) -> Any:
        from qhybrid.models.spec import own_settings, present_variant

        if not isinstance(values, dict) or not isinstance(values.get("name"), str):
            return values
        values = {**own_settings(values["name"]), **values}
        return {**values, "variant": present_variant(values["name"], values["variant"])}

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        from qhybrid.models.spec import ModelSpec

        ModelSpec(**self.model_dump())
        return self


class DataSection(Section):
    """Which images, or quantum states.

    Attributes:
        dataset: A name that `qhybrid datasets` lists, an .npz file or a folder of images.
        classes: Labels to keep; None keeps all.
        image_size: Side in pixels that images are resized to; None keeps the data's own.
        limit: Images to keep at most: a random part, the same in every run; None keeps all.
        qubits: Of quantum states, 1 to 4; None is 2, or what the file has.
        spread: Square root of the variance of noise on quantum states; None is the data set's own.
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
    qubits: Annotated[
        int | None, Field(ge=1, le=4), Option("Of data sets of quantum states [2].", metavar="N")
    ] = None
    spread: Annotated[float, Field(ge=0, le=1000)] | None = None

    @field_validator("dataset")
    @classmethod
    def _names_data(cls, dataset: str) -> str:
        from qhybrid.data.catalog import absolute_name, resolve_dataset

        try:
            if resolve_dataset(dataset).path is None:
                return dataset
        except UnknownNameError:
            raise
        except RequestError:
            if is_reference(dataset):
                raise
            # A run's configuration stays readable without its images; who reads them checks.
        return absolute_name(dataset)

    @field_validator("image_size")
    @classmethod
    def _reaches_the_vertex(cls, image_size: int | None) -> int | None:
        from qhybrid.models.image_sizes import multipliers

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
        schedule: A key of `qhybrid.diffusion.specs.SCHEDULES`; `vp-sde`, `sub-vp-sde` and `ve-sde`
            are in continuous time.
        timesteps: Length of the diffusion; in continuous time, of the grid that is sampled on.
        beta_start: First beta, of schedules that run from one beta to another; None is 1e-4, and
            0.1 of `vp-sde` and `sub-vp-sde`, whose betas are per unit of time.
        beta_end: Last beta, of the same; None is 0.02, and 20.
        betas: One a timestep, instead of a schedule by name.
        variance: Of a step of the reverse process, in the sampler `ddpm`: `posterior`, `beta`, or
            `learned`, which the model is trained to predict.
        p2_k: k.
        p2_gamma: gamma; 0 weighs all timesteps alike.
        decoherence: A fake QPU whose decoherence is the noise of quantum states, e.g. `fake_fez`;
            None for depolarizing noise.
        distance: What the loss of quantum states measures: `fidelity` (1 - F), `trace` or
            `hilbert-schmidt`; None is the fidelity.
        sigma_min: sigma at time 0, of `ve-sde`; None is 0.01.
        sigma_max: sigma at time 1, of `ve-sde`; None is 50.
        loss_weights: `p2`; or, in continuous time, `likelihood`, g(t)^2 on the error of the score.
    """

    schedule: str = ScheduleSpec.name
    timesteps: Count = ScheduleSpec.timesteps
    beta_start: float | None = ScheduleSpec.beta_start
    beta_end: float | None = ScheduleSpec.beta_end
    betas: tuple[float, ...] | None = ScheduleSpec.betas
    variance: str = ScheduleSpec.variance
    p2_k: Annotated[float, Field(gt=0)] = P2Weighting.k
    p2_gamma: Annotated[float, Field(ge=0)] = P2Weighting.gamma
    decoherence: str | None = ScheduleSpec.decoherence
    distance: Literal["fidelity", "trace", "hilbert-schmidt"] | None = None
    sigma_min: float | None = ScheduleSpec.sigma_min
    sigma_max: float | None = ScheduleSpec.sigma_max
    loss_weights: Literal["p2", "likelihood"] = "p2"

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
        spec, likelihood = self.schedule_spec, self.loss_weights == "likelihood"
        if likelihood and not spec.continuous:
            raise RequestError(
                f"diffusion.loss_weights 'likelihood' is of the schedules {', '.join(SDE_ENDS)}, "
                f"in continuous time, but the schedule is '{self.schedule}'; leave it out, or "
                "choose one of them"
            )
        if likelihood and (self.p2_k, self.p2_gamma) != (P2Weighting.k, P2Weighting.gamma):
            raise RequestError(
                "diffusion.p2_k and p2_gamma are of the weights 'p2', but diffusion.loss_weights "
                "is 'likelihood'; leave them out"
            )
        return self

    @property
    def weighting(self) -> P2Weighting:
        """The weights of the loss as the diffusion process takes them."""
        return P2Weighting(self.p2_k, self.p2_gamma, self.loss_weights == "likelihood")

    @model_validator(mode="after")
    def _weighs_what_it_can(self) -> Self:
        usual = P2Weighting()
        for key, value in (("p2_k", usual.k), ("p2_gamma", usual.gamma)):
            if self.schedule == LEARNED_SCHEDULE and getattr(self, key) != value:
                raise RequestError(
                    f"diffusion.{key} has no effect on the schedule '{LEARNED_SCHEDULE}', which is "
                    "trained by the variational bound and its own weights; leave it out"
                )
        return self

    @property
    def in_model(self) -> dict[str, Any]:
        """What a `ModelSpec` is told of the diffusion."""
        learned = self.schedule if self.schedule == LEARNED_SCHEDULE else None
        return {"timesteps": self.timesteps, "variance": self.variance, "schedule": learned}

    @property
    def schedule_spec(self) -> ScheduleSpec:
        """The schedule as the diffusion process takes it."""
        return ScheduleSpec(
            self.schedule,
            self.timesteps,
            self.beta_start,
            self.beta_end,
            self.betas,
            self.sigma_min,
            self.sigma_max,
            variance=self.variance,
            decoherence=self.decoherence,
        )


class QuantumSection(Section):
    """Where circuits run and how they are differentiated.

    Attributes:
        backend: A name that `qhybrid backends` lists.
        gradient: A method of the backend; None takes its best one.
        noise_aware: Train with the errors of this fake QPU: one Pauli trajectory per sample, on
            qhybrid's engine; None trains without.
        max_qpu_seconds: QPU time, with that on record, that must not be exceeded; None for no
            limit.
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
    max_qpu_seconds: Annotated[
        Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
        Option("Stop, resumable, before more QPU time is spent.", metavar="S"),
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
        if self.max_qpu_seconds is not None and "max_qpu_seconds" not in info.takes:
            raise RequestError(
                f"--max-qpu-seconds does not apply to the backend '{self.backend}', which "
                f"{info.refusal}; leave it out"
            )
        if self.gradient is not None:
            check_gradient(self.backend, self.gradient)
        return self


class SamplingSection(Section):
    """The grid of samples that each epoch ends with, and the defaults of `qhybrid sample`.

    Attributes:
        sampler: `ddpm`, `ddim`, `dpm++`, `sde-dpm++`, `sde`, `pc`, `ode`, `heun` (of latents), or
            another package's.
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
