"""What a model is, in plain values: everything that must be known before torch is imported."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qhybrid.diffusion.specs import LEARNED, ScheduleSpec
from qhybrid.kinds import IMAGES
from qhybrid.models.rows import (
    FREQUENCIES,
    MODEL_NAMES,
    MODELS,
    Conditions,
    ModelRow,
)
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.encoding_names import QUBITS as ENCODINGS
from qhybrid_circuits.encoding_names import check_encoding
from qhybrid_circuits.errors import RequestError, UnknownNameError

_OMITTED: Any = None

NO_CLASSES = "none"
"""What `classes` are of a model that is told none."""

IMAGE_SIZES: Mapping[int, tuple[int, ...]] = {
    8: (1, 2, 4),
    16: (1, 2, 3, 4),
    28: (1, 2, 3, 4),
    32: (1, 2, 3, 4, 4),
}
"""Image size in pixels -> channel multipliers, one a level; every path ends at 2x2."""

CHANNELS: tuple[int, ...] = (1, 3)

MOST_STATE_QUBITS = 4
"""Qubits of quantum states, and ancillas: matrices of more are slow."""

USUAL_STATE_QUBITS = 2
"""Where neither the data nor a request says otherwise."""

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
    if row.skip:
        own["skip"] = True
    if row.ancillas is not None:
        own["ancillas"] = row.ancillas
    return {**own, "ansatz": str(row.ansatz), "circuits": 1} if row.several else own


def present_variant(name: str, variant: Any) -> Any:
    """Return what a variant is called today; the records of old runs have former names."""
    former = MODELS.get(name, ModelRow(name, "")).former
    return former.get(variant, variant) if isinstance(variant, str) else variant


def as_recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record of a model means today.

    Before models had a skip connection that could be left out, the variant `paper` of such models
    was what `released` is now.
    """
    row = MODELS.get(str(values.get("name")), ModelRow("", ""))
    if row.skip and "skip" not in values and values.get("variant") == "paper":
        return {**values, "variant": "released"}
    return dict(values)


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
        ansatz: A name of `qhybrid_circuits.ANSATZE`, or `module:function`, that takes the place of
            the model's own; None is its own.
        encoding: A key of `qhybrid_circuits.encoding.ENCODINGS` in the place of the ansatz's own.
        topology: The ansatz's pairs of qubits, e.g. `heavy-hex`; None is its usual ones.
        circuits: Circuits side by side, of models that may have several; None for others.
        quanvolution_layers: Layers of the circuits in an encoder level, of models that have such;
            None for other models. Omitted: `ansatz_layers`.
        frequencies: Of the time embedding, one of `FREQUENCIES`, of models that have the choice;
            None for other models. Omitted: the variant's own.
        variance: `learned` of a model that predicts the variances of the reverse process beside the
            noise, (B, 2 * channels, H, W); None for others, whose variances are fixed.
        skip: Whether the decoder of `qbottleneck-unet` reads the input beside the features of the
            circuit; None for other models.
        schedule: `learned` for a model that holds the noise schedule that is trained with it; None
            for others.
        timesteps: Length of the diffusion that a model of states is for, since it has weights for
            each time step; None for other models.
        classes: Names of the classes that it is for likewise, a few or `none`: (), the same weights
            for all; None for other models.
        qubits: Of quantum states, 1 to 4; None for models of images. Omitted: 2.
        ancillas: Of the circuits of the same models, 0 to 4 and no more than qubits. Omitted: the
            model's own.

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
        self._check_quanvolution(row)
        self._check_frequencies(row)
        self._check_states(row)
        if self.variance is not None:
            row.process.check_variance(self.variance)
        object.__setattr__(self, "variance", LEARNED if self.variance == LEARNED else None)
        self._check_own(row)
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
        """Refuse circuits that the model cannot have, and names that do not exist."""
        for field in ("ansatz", "encoding", "topology", "circuits"):
            free = row.several if field == "circuits" else row.ansatz is not None
            if getattr(self, field) is not None and not free:
                raise RequestError(_fixed(field, self.name))
        if self.ansatz is not None:
            ANSATZE.find(str(self.ansatz))
        if self.encoding is not None:
            known = check_encoding(str(self.encoding))
            if known == "basis":
                raise RequestError(
                    f"encoding basis takes bits, but the features of {self.name} are real numbers; "
                    f"choose one of {_listed(name for name in ENCODINGS if name != known)}"
                )
            object.__setattr__(self, "encoding", known)
        circuits: Any = self.circuits
        if row.several and (type(circuits) is not int or not 1 <= circuits <= MOST_CIRCUITS):
            raise RequestError(f"circuits must be 1 to {MOST_CIRCUITS}, but is {circuits!r}")

    def _check_quanvolution(self, row: ModelRow) -> None:
        """Refuse layers of circuits that the model does not have, and numbers that are none."""
        layers: Any = self.quanvolution_layers
        if layers is None:
            return
        if not row.quanvolution:
            having = _listed(name for name, each in MODELS.built_in.items() if each.quanvolution)
            raise RequestError(
                f"quanvolution_layers is a setting of {having}, but {self.name} has no circuits in "
                "an encoder level; leave it out"
            )
        if type(layers) is not int or not 1 <= layers <= MOST_ANSATZ_LAYERS:
            raise RequestError(
                f"quanvolution_layers must be 1 to {MOST_ANSATZ_LAYERS}, but is {layers!r}; "
                "without it they are ansatz_layers"
            )

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

    def _check_states(self, row: ModelRow) -> None:
        """Refuse ancillas of a model that has none to choose, and more qubits than can be."""
        if row.ancillas is None and self.ancillas is not None:
            raise RequestError(
                f"ancillas is a setting of models of quantum states, but {self.name} is none; "
                "leave it out"
            )
        if row.process.kind is IMAGES:
            object.__setattr__(self, "qubits", None)
            return
        if self.qubits is None:
            object.__setattr__(self, "qubits", USUAL_STATE_QUBITS)
        for field, least in (("qubits", 1), ("ancillas", 0)):
            value: Any = getattr(self, field)
            if type(value) is not int or not least <= value <= MOST_STATE_QUBITS:
                raise RequestError(
                    f"{field} of {self.name} must be {least} to {MOST_STATE_QUBITS}, but is "
                    f"{value!r}"
                )

    def _check_own(self, row: ModelRow) -> None:
        """Refuse parts that the model has not to leave out."""
        if row.skip and not isinstance(self.skip, bool):
            raise RequestError(f"skip must be true or false, but is {self.skip!r}")
        if not row.skip and self.skip is not None:
            with_it = ", ".join(name for name, each in MODELS.built_in.items() if each.skip)
            raise RequestError(
                f"skip is a setting of {with_it}, but {self.name} has no such connection to leave "
                "out; leave the setting out"
            )
        optional = row.conditions is not None and row.conditions.optional
        if self.classes in (NO_CLASSES, (), []) and not optional:
            raise RequestError(
                "classes can be none in models that have weights for each class otherwise, such as "
                f"qbottleneck-unet, but not in {self.name}; leave the setting out"
            )

    def _checked(self, conditions: Conditions) -> tuple[int | None, tuple[str, ...] | None]:
        """Return time steps and classes."""
        usual = "its usual ones" if self.row.alone else "the paper's"
        steps: Any = conditions.timesteps if self.timesteps is None else self.timesteps
        whole = isinstance(steps, int) and not isinstance(steps, bool)
        if conditions.timesteps is None:
            steps = None
        elif not whole or not 2 <= steps <= conditions.most_timesteps:
            raise RequestError(
                f"timesteps of {self.name} must be 2 to {conditions.most_timesteps}, but is "
                f"{steps!r}: each has its own weights; {usual} are {conditions.timesteps}, set "
                "diffusion.timesteps"
            )
        if not conditions.classes:
            return steps, None
        classes: Any = conditions.classes if self.classes is None else self.classes
        if classes in (NO_CLASSES, (), []):
            return steps, ()
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
    def has_own_circuits(self) -> bool:
        """Whether its circuits are those that the model has where nothing else is asked for."""
        return self.ansatz in (None, self.row.ansatz) and not (self.encoding or self.topology)

    @property
    def ansatz_variant(self) -> str:
        """Variant of its own ansatz."""
        return self.row.ansatz_variants.get(self.variant, self.variant)

    @property
    def vertex_channels(self) -> int:
        """Width of the 2x2 feature map at the vertex."""
        return self.dim * multipliers(self.image_size)[-1]

    @property
    def drawn_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of what is drawn: an image, or (2, d, 1) of a quantum state."""
        if self.qubits is not None:
            return 2, 1 << self.qubits, 1
        return self.channels, self.image_size, self.image_size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what the model takes for one image: (C, H, W), or (dim,) of latents."""
        if self.qubits is not None:
            return self.drawn_shape
        if self.row.process.latents:
            return (self.dim,)
        return self.row.process.planes * self.channels, self.image_size, self.image_size

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, e.g. for JSON; without those that the model does not have."""
        of_images = ("image_size", "channels", "dim") if self.qubits is not None else ()
        values = asdict(self).items()
        return {
            name: value for name, value in values if value is not None and name not in of_images
        }

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Build a specification from what `to_dict` gave in this version or an earlier one.

        Raises:
            UnknownNameError: As `from_dict` does.
            RequestError: As `from_dict` does.
        """
        return cls.from_dict(as_recorded(values))

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


def _fixed(field: str, name: str) -> str:
    """Say which models have a setting that one does not have."""
    several = _listed(each for each, row in MODELS.built_in.items() if row.several)
    free = several if field == "circuits" else "models whose circuits can be any"
    return (
        f"{field} is a setting of {free}, but {name} has circuits of its own, or none; leave it out"
    )
