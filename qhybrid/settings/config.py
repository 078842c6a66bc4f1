"""The configuration of a training run: every key, its default and its limits."""

from typing import Any, Self

from pydantic import model_validator

from qhybrid.diffusion.samplers import check_has_variance
from qhybrid.diffusion.specs import NoiseSpec
from qhybrid.settings.kind_settings import check_kinds
from qhybrid.settings.process_settings import with_process_settings
from qhybrid.settings.section import Section
from qhybrid.settings.sections import (
    DataSection,
    DiffusionSection,
    ModelSection,
    QuantumSection,
    SamplingSection,
)
from qhybrid.settings.training_sections import (
    EmaSection,
    EvaluationSection,
    NaturalGradientSection,
    TrainingSection,
    TransferSection,
)
from qhybrid_circuits.errors import RequestError


class Config(Section):
    """The whole configuration; the defaults draw 8x8 digits within minutes on a laptop.

    `Config()` is that default, `load_config` reads files and `key=value` overrides.

    Example:
        >>> import qhybrid
        >>> qhybrid.Config().model.name
        '1hqconv-qvunet'
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
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="after")
    def _mixes_no_kinds(self) -> Self:
        check_kinds(self.model, self.data, self.diffusion, self.quantum, self.evaluation)
        return self

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
        if not row.natural:
            raise RequestError(
                "optimizer 'qng' takes the metric of circuits on pure states, but those of "
                f"{self.model.name} are given mixed ones; {instead}"
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
        usual = DiffusionSection()
        for key in () if process.scheduled else DiffusionSection.model_fields:
            if getattr(diffusion, key) != getattr(usual, key):
                raise RequestError(
                    f"diffusion.{key} has no effect on {self.model.name}, whose noise is that of "
                    "EDM (Karras et al. 2022) at every level; leave it out"
                )
        process.check_schedule(diffusion.schedule_spec)
        process.check_variance(diffusion.variance)
        check_has_variance(diffusion.variance, sampling.sampler)
        process.check_sampler(diffusion.schedule_spec, sampling.sampler, sampling.steps)
        if self.sampling.steps > self.diffusion.timesteps:
            raise ValueError(
                f"sampling.steps ({self.sampling.steps}) must not exceed diffusion.timesteps "
                f"({self.diffusion.timesteps}); lower the one or raise the other"
            )
        return self
