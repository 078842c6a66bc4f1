"""The settings that some models have and others have not, and what they can be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from qhybrid.diffusion.specs import LEARNED, ScheduleSpec
from qhybrid.kinds import IMAGES
from qhybrid.models.row import Conditions, ModelRow
from qhybrid.models.rows import FREQUENCIES, MODELS
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.encoding_names import QUBITS as ENCODINGS
from qhybrid_circuits.encoding_names import check_encoding
from qhybrid_circuits.errors import RequestError, UnknownNameError

_OMITTED: Any = None

NO_CLASSES = "none"
"""What `classes` are of a model that is told none."""

MOST_STATE_QUBITS = 4
"""Qubits of quantum states, and ancillas: matrices of more are slow."""

USUAL_STATE_QUBITS = 2
"""Where neither the data nor a request says otherwise."""

MOST_ANSATZ_LAYERS, MOST_CIRCUITS = 1000, 100
"""Far beyond what is trained; larger numbers are typing errors that exhaust memory or patience."""


@dataclass(frozen=True)
class SpecFields:
    """The fields of a `ModelSpec`, which describes them."""

    name: str
    image_size: int = _OMITTED
    channels: int = 1
    dim: int = _OMITTED
    ansatz_layers: int = _OMITTED
    variant: str = _OMITTED
    ansatz: str | None = None
    encoding: str | None = None
    topology: str | None = None
    circuits: int | None = None
    quanvolution_layers: int | None = None
    frequencies: str | None = None
    variance: str | None = None
    skip: bool | None = None
    schedule: str | None = None
    timesteps: int | None = None
    classes: tuple[str, ...] | None = None
    qubits: int | None = None
    ancillas: int | None = None


def resolved(spec: SpecFields, row: ModelRow) -> dict[str, Any]:
    """Return what the fields of a specification are once all is filled in.

    Raises:
        UnknownNameError: A name does not exist.
        RequestError: A model is given what it does not have, or a value is not allowed.
    """
    _check_circuits(spec, row)
    _check_quanvolution(spec, row)
    _check_skip(spec, row)
    if spec.variance is not None:
        row.process.check_variance(spec.variance)
    if spec.schedule is not None:
        row.process.check_schedule(ScheduleSpec(spec.schedule, 2))
    return {
        "encoding": _encoding(spec),
        "frequencies": _frequencies(spec, row),
        "variance": LEARNED if spec.variance == LEARNED else None,
        "qubits": _qubits(spec, row),
        **_conditions(spec, row),
    }


def _check_circuits(spec: SpecFields, row: ModelRow) -> None:
    for field in ("ansatz", "encoding", "topology", "circuits"):
        free = row.several if field == "circuits" else row.ansatz is not None
        if getattr(spec, field) is not None and not free:
            several = having(lambda each: each.several)
            whose = several if field == "circuits" else "models whose circuits can be any"
            raise RequestError(
                f"{field} is a setting of {whose}, but {spec.name} has circuits of its own, or "
                "none; leave it out"
            )
    if spec.ansatz is not None:
        ANSATZE.find(str(spec.ansatz))
    circuits: Any = spec.circuits
    if row.several and (type(circuits) is not int or not 1 <= circuits <= MOST_CIRCUITS):
        raise RequestError(f"circuits must be 1 to {MOST_CIRCUITS}, but is {circuits!r}")


def _encoding(spec: SpecFields) -> str | None:
    if spec.encoding is None:
        return None
    known = check_encoding(str(spec.encoding))
    if known == "basis":
        raise RequestError(
            f"encoding basis takes bits, but the features of {spec.name} are real numbers; "
            f"choose one of {listed(name for name in ENCODINGS if name != known)}"
        )
    return known


def _check_quanvolution(spec: SpecFields, row: ModelRow) -> None:
    layers: Any = spec.quanvolution_layers
    if layers is None:
        return
    if not row.quanvolution:
        raise RequestError(
            f"quanvolution_layers is a setting of {having(lambda each: each.quanvolution)}, but "
            f"{spec.name} has no circuits in an encoder level; leave it out"
        )
    if type(layers) is not int or not 1 <= layers <= MOST_ANSATZ_LAYERS:
        raise RequestError(
            f"quanvolution_layers must be 1 to {MOST_ANSATZ_LAYERS}, but is {layers!r}; "
            "without it they are ansatz_layers"
        )


def _frequencies(spec: SpecFields, row: ModelRow) -> str | None:
    if spec.frequencies is None:
        return row.frequencies.get(spec.variant)
    if not row.frequencies:
        raise RequestError(
            f"frequencies is a setting of {having(lambda each: bool(each.frequencies))}, but the "
            f"time embedding of {spec.name} has no other; leave it out"
        )
    if spec.frequencies not in FREQUENCIES:
        raise UnknownNameError("frequencies", str(spec.frequencies), FREQUENCIES)
    return spec.frequencies


def _qubits(spec: SpecFields, row: ModelRow) -> int | None:
    if row.ancillas is None and spec.ancillas is not None:
        raise RequestError(
            f"ancillas is a setting of models of quantum states, but {spec.name} is none; "
            "leave it out"
        )
    if row.process.kind is IMAGES:
        return None
    qubits = USUAL_STATE_QUBITS if spec.qubits is None else spec.qubits
    given: tuple[tuple[str, Any, int], ...] = (
        ("qubits", qubits, 1),
        ("ancillas", spec.ancillas, 0),
    )
    for field, value, least in given:
        if type(value) is not int or not least <= value <= MOST_STATE_QUBITS:
            raise RequestError(
                f"{field} of {spec.name} must be {least} to {MOST_STATE_QUBITS}, but is {value!r}"
            )
    return qubits


def _check_skip(spec: SpecFields, row: ModelRow) -> None:
    if row.skip and not isinstance(spec.skip, bool):
        raise RequestError(f"skip must be true or false, but is {spec.skip!r}")
    if not row.skip and spec.skip is not None:
        raise RequestError(
            f"skip is a setting of {having(lambda each: each.skip)}, but {spec.name} has no such "
            "connection to leave out; leave the setting out"
        )


def _conditions(spec: SpecFields, row: ModelRow) -> dict[str, Any]:
    """Return the time steps and classes that a model has weights for."""
    conditions = row.conditions
    optional = conditions is not None and conditions.optional
    if spec.classes in (NO_CLASSES, (), []) and not optional:
        raise RequestError(
            "classes can be none in models that have weights for each class otherwise, such as "
            f"qbottleneck-unet, but not in {spec.name}; leave the setting out"
        )
    if conditions is None or conditions.variant not in (None, spec.variant):
        return {"timesteps": None, "classes": None}
    return {"timesteps": _timesteps(spec, conditions), "classes": _classes(spec, conditions)}


def _timesteps(spec: SpecFields, conditions: Conditions) -> int | None:
    if conditions.timesteps is None:
        return None
    usual = "its usual ones" if MODELS[spec.name].alone else "the paper's"
    steps: Any = conditions.timesteps if spec.timesteps is None else spec.timesteps
    if type(steps) is not int or not 2 <= steps <= conditions.most_timesteps:
        raise RequestError(
            f"timesteps of {spec.name} must be 2 to {conditions.most_timesteps}, but is "
            f"{steps!r}: each has its own weights; {usual} are {conditions.timesteps}, set "
            "diffusion.timesteps"
        )
    return steps


def _classes(spec: SpecFields, conditions: Conditions) -> tuple[str, ...] | None:
    if not conditions.classes:
        return None
    classes: Any = conditions.classes if spec.classes is None else spec.classes
    if classes in (NO_CLASSES, (), []):
        return ()
    if isinstance(classes, int | str):
        classes = str(classes).split(",")
    named = isinstance(classes, list | tuple)
    names = tuple(str(name).strip() for name in classes) if named else ()
    if not names or not all(names):
        raise RequestError(f"classes of {spec.name} must be at least one name, but are {classes!r}")
    return names


def having(has: Callable[[ModelRow], bool]) -> str:
    """Return the names of the built-in models that have something."""
    return listed(name for name, row in MODELS.built_in.items() if has(row))


def listed(values: Iterable[Any]) -> str:
    """Return values for messages."""
    return ", ".join(map(str, values))
