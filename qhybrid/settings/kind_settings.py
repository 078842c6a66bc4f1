"""Which settings belong to images and which to quantum states, and that both are not mixed."""

from collections.abc import Mapping
from typing import Any

from qhybrid.settings.sections import DataSection, DiffusionSection, ModelSection, QuantumSection
from qhybrid.settings.training_sections import EvaluationSection
from qhybrid_circuits.errors import RequestError


def usual_model(data: Any) -> str | None:
    """Return the model that is trained on a data set unless a request names one.

    None where nothing can be said: the checks that follow say what is wrong.
    """
    from qhybrid.data.catalog import resolve_dataset

    name = data.get("dataset") if isinstance(data, Mapping) else getattr(data, "dataset", None)
    if not isinstance(name, str):
        return None
    try:
        return resolve_dataset(name).info.kind.model
    except RequestError:
        return None


def chosen_model(model: ModelSection, data: DataSection) -> str:
    """Return a line on the model where the data chose it and not the default; else nothing."""
    from qhybrid.data.catalog import dataset_kind
    from qhybrid.kinds import IMAGES

    kind = dataset_kind(data.dataset)
    if kind is IMAGES:
        return ""
    return f"{model.name} is trained, since '{data.dataset}' holds {kind.name}"


def check_kinds(
    model: ModelSection,
    data: DataSection,
    diffusion: DiffusionSection,
    quantum: QuantumSection,
    evaluation: EvaluationSection,
) -> None:
    """Refuse a model of images for quantum states, the other way round, and settings of the other.

    Raises:
        RequestError: There is something of the kind.
    """
    from qhybrid.data.catalog import dataset_kind
    from qhybrid.kinds import IMAGES, STATES
    from qhybrid.models.rows import MODELS
    from qhybrid_runtime.backends.registry import check_backend_name

    process, name = MODELS[model.name].process, model.name
    kind, held = process.kind, dataset_kind(data.dataset)
    if held is not kind:
        raise RequestError(
            f"{name} is a model of {kind.name}, but '{data.dataset}' holds {held.name}; "
            f"leave --model out to train {held.model}, or choose another --dataset, see `qhybrid "
            "datasets`"
        )
    given = {
        f"data.{key}": (getattr(data, key), other)
        for other in (IMAGES, STATES)
        for key in other.settings
    }
    for key in ("distance", "decoherence"):
        given[f"diffusion.{key}"] = getattr(diffusion, key), STATES
    for key, (value, other) in given.items():
        if value is not None and other is not kind:
            raise RequestError(
                f"{key} is for {other.name}, but {name} is a model of {kind.name}; leave it out"
            )
    if evaluation.every and not kind.evaluated:
        raise RequestError(
            f"--evaluate-every compares images, but {name} is a model of {kind.name}; leave it "
            "out: metrics.csv has the fidelity after each epoch"
        )
    usual = DiffusionSection()
    for key in () if process.weighted else ("p2_k", "p2_gamma"):
        if getattr(diffusion, key) != getattr(usual, key):
            raise RequestError(
                f"diffusion.{key} weighs the noise in images, and has no effect on {name}; leave "
                "it out"
            )
    backend = quantum.backend
    if quantum.noise_aware is not None:
        backend = f"noise-aware:{quantum.noise_aware}"
    process.check_backend(backend, exact=check_backend_name(backend).exact)
