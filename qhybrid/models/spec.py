"""What a model is, in plain values: everything that must be known before torch is imported."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qhybrid.diffusion.specs import ScheduleSpec
from qhybrid.models.rows import (
    FREQUENCIES,
    MODEL_NAMES,
    MODELS,
    SCALED,
    Conditions,
    ModelRow,
)
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.errors import RequestError, UnknownNameError

_OMITTED: Any = None

IMAGE_SIZES: Mapping[int, tuple[int, ...]] = {
    8: (1, 2, 4),
    16: (1, 2, 3, 4),
    28: (1, 2, 3, 4),
    32: (1, 2, 3, 4, 4),
}
"""Image size in pixels -> channel multipliers, one a level; every path ends at 2x2."""

CHANNELS: tuple[int, ...] = (1, 3)

MOST_DIM, MOST_ANSATZ_LAYERS, MOST_CIRCUITS = 1024, 1000, 100
"""Far beyond what is trained; larger numbers are typing errors that exhaust memory or patience."""


def own_settings(name: str) -> dict[str, int | str]:
    """Return what a model has where a request does not say otherwise: size, variant, ansatz.

    The name need not be that of a model; the checks that follow say so.
    """
    row = MODELS.get(name, ModelRow(name, ""))
    size = row.size
    own: dict[str, int | str] = {"dim": size.dim, "ansatz_layers": size.ansatz_layers}
    own["variant"] = row.variants[0]
    return own if row.ansatz is None else {**own, "ansatz": row.ansatz, "circuits": 1}


def present_variant(name: str, variant: Any) -> Any:
    """Return what a variant is called today; the records of old runs have former names."""
    former = MODELS.get(name, ModelRow(name, "")).former
    return former.get(variant, variant) if isinstance(variant, str) else variant


def multipliers(image_size: int) -> tuple[int, ...]:
    """Channel multipliers of the levels for an image size in pixels.

    Raises:
        RequestError: The U-Net has no path from this size to its 2x2 vertex.
    """
    if image_size not in IMAGE_SIZES:
        raise RequestError(
            f"image_size must be one of {_listed(IMAGE_SIZES)}, the sizes with a path to the 2x2 "
            f"vertex, but is {image_size!r}; resize the images to one of these"
        )
    return IMAGE_SIZES[image_size]


def level_sizes(image_size: int) -> tuple[int, ...]:
    """Side length in pixels of the feature maps of each level, e.g. (28, 14, 7, 2).

    Raises:
        RequestError: The size is not one of `IMAGE_SIZES`.
    """
    sizes = [image_size]
    for _ in multipliers(image_size)[1:]:
        sizes.append(2 if sizes[-1] == 7 else sizes[-1] // 2)
    return tuple(sizes)


@dataclass(frozen=True)
class ModelSpec:
    """How to build one model of the zoo.

    Most models take images (B, channels, H, W) and times to the noise in them. A model of states
    takes complex vectors of `channels * H * W` amplitudes, times and classes to such vectors; a
    tensor (B, 2 * channels, H, W) holds the real parts, then the imaginary parts.

    Attributes:
        name: One of `MODEL_NAMES`.
        image_size: Side of the square images in pixels, a key of `IMAGE_SIZES`. Omitted: the
            published size.
        channels: Image channels, 1 (grey) or 3 (RGB).
        dim: Width of the first level; level i is `dim * multipliers[i]` wide, and twice as wide as
            the one before up to `8 * dim` in the wide models, `4 * dim` in the light ones. Models
            of latents have as many latents of an image. Omitted: the published size.
        ansatz_layers: Layers of its circuits; ignored by models without circuits. Omitted: the
            published size.
        variant: One of the model's `variants`. Omitted: the first of them.
        ansatz: A name of `qhybrid_circuits.ANSATZE`, or `module:function`, of models whose circuits
            can be any; None for other models. Omitted: the model's own.
        circuits: Circuits of that ansatz side by side, of the same models.
        frequencies: Of the time embedding, one of `FREQUENCIES`, of models that have the choice;
            None for other models. Omitted: the variant's own.
        schedule: `learned` for a model that holds the noise schedule that is trained with it; None
            for others.
        timesteps: Length of the diffusion that a model of states is for, since it has weights for
            each time step; None for other models.
        classes: Names of the classes that it is for likewise; None for other models.

    Raises:
        UnknownNameError: No model has this name.
        RequestError: Another field has a value that is not allowed.
    """

    name: str
    image_size: int = _OMITTED
    channels: int = 1
    dim: int = _OMITTED
    ansatz_layers: int = _OMITTED
    variant: str = _OMITTED
    ansatz: str | None = None
    circuits: int | None = None
    frequencies: str | None = None
    schedule: str | None = None
    timesteps: int | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        row = MODELS.find(str(self.name), "`qhybrid models` describes them")
        own = row.size
        for field, value in {"image_size": own.image_size, **own_settings(self.name)}.items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)
        for field in ("image_size", "channels", "dim", "ansatz_layers"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int):
                raise RequestError(f"{field} must be a whole number, but is {value!r}")
        multipliers(self.image_size)
        if self.channels not in CHANNELS:
            raise RequestError(
                f"channels must be one of {_listed(CHANNELS)}, but is {self.channels}; convert the "
                "images to grey or RGB"
            )
        self._check_size(row)
        object.__setattr__(self, "variant", present_variant(self.name, self.variant))
        if self.variant not in row.variants:
            hint = f"these are the variants of {self.name}"
            raise UnknownNameError("variant", str(self.variant), row.variants, hint)
        self._check_circuits(row)
        self._check_frequencies(row)
        if self.schedule is not None:
            row.process.check_schedule(ScheduleSpec(self.schedule, 2))
        told = row.conditions is not None and row.conditions.variant in (None, self.variant)
        steps, classes = self._checked(row.conditions) if row.conditions and told else (None, None)
        object.__setattr__(self, "timesteps", steps)
        object.__setattr__(self, "classes", classes)

    def _check_size(self, row: ModelRow) -> None:
        """Refuse widths and numbers of layers that the model cannot have."""
        own = row.size
        usual = "its usual one" if row.paper in ("", "ours") else "the paper's"
        if not 2 <= self.dim <= MOST_DIM:
            raise RequestError(
                f"dim must be 2 to {MOST_DIM}, but is {self.dim}; {usual} is {own.dim}"
            )
        if self.dim % own.divisor:
            raise RequestError(
                f"dim of {self.name} must be a multiple of {own.divisor}, but is {self.dim}; "
                f"{usual} is {own.dim}"
            )
        if own.dims and self.dim not in own.dims:
            every = own.dims == tuple(range(own.dims[0], own.dims[-1] + 1))
            allowed = f"{own.dims[0]} to {own.dims[-1]}" if every else f"one of {_listed(own.dims)}"
            raise RequestError(
                f"dim of {self.name} must be {allowed}, {own.meaning}, but is "
                f"{self.dim}; {usual} is {own.dim}"
            )
        if not 1 <= self.ansatz_layers <= MOST_ANSATZ_LAYERS:
            raise RequestError(
                f"ansatz_layers must be 1 to {MOST_ANSATZ_LAYERS}, but is {self.ansatz_layers}; "
                f"{usual} is {own.ansatz_layers}"
            )

    def _check_circuits(self, row: ModelRow) -> None:
        """Refuse circuits of a model that has its own, and ansätze that do not exist."""
        for field in ("ansatz", "circuits"):
            if row.ansatz is None and getattr(self, field) is not None:
                free = ", ".join(name for name, each in MODELS.built_in.items() if each.ansatz)
                raise RequestError(
                    f"{field} is a setting of {free}, but {self.name} has circuits of its own, or "
                    "none; leave it out"
                )
        if row.ansatz is None:
            return
        ANSATZE.find(str(self.ansatz))
        circuits: Any = self.circuits
        if type(circuits) is not int or not 1 <= circuits <= MOST_CIRCUITS:
            raise RequestError(f"circuits must be 1 to {MOST_CIRCUITS}, but is {circuits!r}")

    def _check_frequencies(self, row: ModelRow) -> None:
        """Refuse frequencies of a model without the choice, and fill in the variant's own."""
        if self.frequencies is None:
            object.__setattr__(self, "frequencies", row.frequencies.get(self.variant))
        elif not row.frequencies:
            free = ", ".join(name for name, each in MODELS.built_in.items() if each.frequencies)
            raise RequestError(
                f"frequencies is a setting of {free}, but the time embedding of {self.name} has no "
                "other; leave it out"
            )
        elif self.frequencies not in FREQUENCIES:
            raise UnknownNameError("frequencies", str(self.frequencies), FREQUENCIES)

    def _checked(self, conditions: Conditions) -> tuple[int | None, tuple[str, ...]]:
        """Return time steps and classes."""
        steps: Any = conditions.timesteps if self.timesteps is None else self.timesteps
        whole = isinstance(steps, int) and not isinstance(steps, bool)
        if conditions.timesteps is None:
            steps = None
        elif not whole or not 2 <= steps <= conditions.most_timesteps:
            raise RequestError(
                f"timesteps of {self.name} must be 2 to {conditions.most_timesteps}, but is "
                f"{steps!r}: each has its own weights; the paper's are {conditions.timesteps}, set "
                "diffusion.timesteps"
            )
        classes: Any = conditions.classes if self.classes is None else self.classes
        if isinstance(classes, int | str):
            classes = str(classes).split(",")
        listed = isinstance(classes, list | tuple)
        names = tuple(str(name).strip() for name in classes) if listed else ()
        if not names or not all(names):
            raise RequestError(
                f"classes of {self.name} must be at least one name, but are {classes!r}"
            )
        return steps, names

    @property
    def row(self) -> ModelRow:
        """The model's row."""
        return MODELS[self.name]

    @property
    def ansatz_variant(self) -> str:
        """Variant of its circuits, which a scale beside them does not change."""
        return "paper" if self.variant == SCALED else self.variant

    @property
    def vertex_channels(self) -> int:
        """Width of the 2x2 feature map at the vertex."""
        return self.dim * multipliers(self.image_size)[-1]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what the model takes for one image: (C, H, W), or (dim,) of latents."""
        if self.row.process.latents:
            return (self.dim,)
        return self.row.process.planes * self.channels, self.image_size, self.image_size

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, e.g. for JSON; without those that the model does not have."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Build a specification from what `to_dict` gave.

        Raises:
            UnknownNameError: A key is not a field, or no model has the name.
            RequestError: The name is missing, or a value is not allowed.
        """
        known = tuple(field.name for field in fields(cls))
        for key in values:
            if key not in known:
                raise UnknownNameError("model setting", str(key), known)
        if "name" not in values:
            raise RequestError(f"a model needs a name; known: {_listed(MODEL_NAMES)}")
        return cls(**values)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))
