"""What a model is, in plain values: everything that must be known before torch is imported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qhybrid_circuits.errors import RequestError, UnknownNameError

CONTROL = "-control"
"""Ending of a hybrid's classical twin: as many weights in the place of each circuit."""

HYBRIDS_WITH_CONTROL: tuple[str, ...] = (
    "1hqconv-qvunet",
    "7hqconv-qvunet",
    "fullhqconv-qvunet",
    "1fqconv-qvunet",
    "7fqconv-qvunet",
    "fullfqconv-qvunet",
    "quanvunet",
    "fqconv-quanvunet",
    "hqconv-wide-unet",
    "fqconv-wide-unet",
)

MODEL_NAMES: tuple[str, ...] = (
    "unet",
    "wide-unet",
    *HYBRIDS_WITH_CONTROL,
    *(name + CONTROL for name in HYBRIDS_WITH_CONTROL),
)

_OMITTED: Any = None


@dataclass(frozen=True)
class OwnSize:
    """The published size of a model, where a request names no other.

    Attributes:
        dim: Width of the first level.
        ansatz_layers: Layers of its circuits.
        divisor: What `dim` must be a multiple of.
    """

    dim: int
    ansatz_layers: int
    divisor: int = 1


def own_size(name: str) -> OwnSize:
    """The published size of a model, whether or not the name is one of `MODEL_NAMES`."""
    if name.removesuffix(CONTROL).endswith("wide-unet"):
        return OwnSize(dim=32, ansatz_layers=1, divisor=8)
    return OwnSize(dim=10, ansatz_layers=3)


IMAGE_SIZES: Mapping[int, tuple[int, ...]] = {
    8: (1, 2, 4),
    16: (1, 2, 3, 4),
    28: (1, 2, 3, 4),
    32: (1, 2, 3, 4, 4),
}
"""Image size in pixels -> channel multipliers, one a level; every path ends at 2x2."""

CHANNELS: tuple[int, ...] = (1, 3)

MOST_DIM, MOST_ANSATZ_LAYERS = 1024, 1000
"""Far beyond what is trained; larger numbers are typing errors that exhaust memory or patience."""

VARIANTS: tuple[str, ...] = ("paper", "released")
"""`paper` follows the publication, `released` the code that its authors published."""


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

    Attributes:
        name: One of `MODEL_NAMES`.
        image_size: Side of the square images in pixels, a key of `IMAGE_SIZES`.
        channels: Image channels, 1 (grey) or 3 (RGB).
        dim: Width of the first level; level i is `dim * multipliers[i]` wide, and twice as wide as
            the one before up to `8 * dim` in the wide models. Omitted: the model's `own_size`.
        ansatz_layers: Layers of the HQConv or FQConv circuits; ignored by models without circuits.
            Omitted: the model's `own_size`.
        variant: One of `VARIANTS`.

    Raises:
        UnknownNameError: No model has this name.
        RequestError: Another field has a value that is not allowed.
    """

    name: str
    image_size: int = 28
    channels: int = 1
    dim: int = _OMITTED
    ansatz_layers: int = _OMITTED
    variant: str = "paper"

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.name not in MODEL_NAMES:
            hint = "`qhybrid models` describes them"
            raise UnknownNameError("model", str(self.name), MODEL_NAMES, hint)
        own = own_size(self.name)
        for field in ("dim", "ansatz_layers"):
            if getattr(self, field) is None:
                object.__setattr__(self, field, getattr(own, field))
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
        if not 2 <= self.dim <= MOST_DIM:
            raise RequestError(
                f"dim must be 2 to {MOST_DIM}, but is {self.dim}; the paper's is {own.dim}"
            )
        if self.dim % own.divisor:
            raise RequestError(
                f"dim of {self.name} must be a multiple of {own.divisor}, but is {self.dim}; the "
                f"paper's is {own.dim}"
            )
        if not 1 <= self.ansatz_layers <= MOST_ANSATZ_LAYERS:
            raise RequestError(
                f"ansatz_layers must be 1 to {MOST_ANSATZ_LAYERS}, but is {self.ansatz_layers}; "
                f"the paper's is {own.ansatz_layers}"
            )
        if self.variant not in VARIANTS:
            raise UnknownNameError("variant", str(self.variant), VARIANTS)

    @property
    def vertex_channels(self) -> int:
        """Width of the 2x2 feature map at the vertex."""
        return self.dim * multipliers(self.image_size)[-1]

    def to_dict(self) -> dict[str, str | int]:
        """The fields as plain values, e.g. for JSON."""
        return asdict(self)

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


def _listed(values: Mapping[int, Any] | tuple[Any, ...]) -> str:
    return ", ".join(str(value) for value in values)
