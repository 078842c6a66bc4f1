"""What a model is, in plain values: everything that must be known before torch is imported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qhybrid.models.choices import MOST_ANSATZ_LAYERS, SpecFields, listed, resolved
from qhybrid.models.image_sizes import CHANNELS, multipliers
from qhybrid.models.row import ModelRow
from qhybrid.models.rows import MODEL_NAMES, MODELS
from qhybrid_circuits.errors import RequestError, UnknownNameError

MOST_DIM = 1024
"""Far beyond what is trained: a larger number is a typing error that exhausts the memory."""


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


@dataclass(frozen=True)
class ModelSpec(SpecFields):
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

    Example:
        >>> import qhybrid
        >>> spec = qhybrid.ModelSpec("1hqconv-qvunet", image_size=8, channels=1)
        >>> spec.dim, spec.ansatz_layers
        (10, 3)
    """

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
                f"channels must be one of {listed(CHANNELS)}, but is {self.channels}; convert the "
                "images to grey or RGB"
            )
        self._check_size(row)
        object.__setattr__(self, "variant", present_variant(self.name, self.variant))
        if self.variant not in row.variants:
            hint = f"these are the variants of {self.name}"
            raise UnknownNameError("variant", str(self.variant), row.variants, hint)
        for field, value in resolved(self, row).items():
            object.__setattr__(self, field, value)

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
            allowed = f"{own.dims[0]} to {own.dims[-1]}" if every else f"one of {listed(own.dims)}"
            raise RequestError(
                f"dim of {self.name} must be {allowed}, {own.meaning}, but is "
                f"{self.dim}; {usual} is {own.dim}"
            )
        if not 1 <= self.ansatz_layers <= MOST_ANSATZ_LAYERS:
            raise RequestError(
                f"ansatz_layers must be 1 to {MOST_ANSATZ_LAYERS}, but is {self.ansatz_layers}; "
                f"{usual} is {own.ansatz_layers}"
            )

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
            raise RequestError(f"a model needs a name; known: {listed(MODEL_NAMES)}")
        return cls(**values)
