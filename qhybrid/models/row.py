"""What a row of the table of models says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qhybrid.diffusion.process import EPSILON, ProcessInfo

CONTROL = "-control"
"""Ending of a hybrid's classical twin: as many weights in the place of each circuit."""

VARIANTS: tuple[str, ...] = ("paper", "released")
"""`paper` follows the publication, `released` the code that its authors published."""


@dataclass(frozen=True)
class Size:
    """The published size of a model, and what other widths it can have.

    Attributes:
        dim: Width of the first level.
        ansatz_layers: Layers of its circuits.
        image_size: Side of the images in pixels.
        divisor: What `dim` must be a multiple of.
        dims: The only widths that it can have; all where empty.
        meaning: What these are, for messages.
    """

    dim: int = 10
    ansatz_layers: int = 3
    image_size: int = 28
    divisor: int = 1
    dims: tuple[int, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Conditions:
    """What a model has weights for, and so must be told when it is built.

    Attributes:
        classes: Usual names of the classes.
        optional: Whether it can be told no class, and has one set of weights for all then.
        timesteps: Published length of the diffusion; None where weights do not depend on it.
        most_timesteps: The longest.
        variant: The only variant that has such weights; None where all have.
    """

    classes: tuple[str, ...]
    optional: bool = False
    timesteps: int | None = None
    most_timesteps: int = 0
    variant: str | None = None


@dataclass(frozen=True)
class ModelRow:
    """All that is known of a model; nothing elsewhere asks which model it has.

    Attributes:
        name: What `--model` takes.
        builder: Function (ModelSpec, Execution, **options) -> module, or "module:function".
        summary: One line on what it is.
        paper: Where it was published.
        options: Further arguments of `builder`.
        circuits: Whether it has circuits; a built-in model that has any has a classical twin.
        natural: Whether its circuits can be trained by the natural gradient.
        control: Whether it is such a twin.
        size: Its published size.
        variants: Its variants, the default first.
        ansatz_variants: Variant -> that of its own ansatz, where they are not the same.
        former: Former names of variants -> present ones, as in the records of old runs.
        frequencies: Variant -> usual one of `FREQUENCIES`; empty where there is no choice.
        process: What it predicts, how it is trained and which samplers can draw from it.
        conditions: What it has weights for; None for models that need not be told.
        quanvolution: Whether circuits that stand in an encoder level may have other layers.
        ansatz: The ansatz of its circuits where any other that fits may take its place; None where
            they are fixed, or there are none.
        several: Whether any number of these circuits may stand side by side.
        skip: Whether its skip connection can be left out.
        settings: Its own defaults, section -> key -> value, of settings beside `model`.
        ancillas: Of its circuits, unless a request says otherwise; None where it cannot say.
        alone: Whether circuits are all of it, so that it has no twin, and circuits no influence on
            the rest.
    """

    name: str
    builder: str | Callable[..., Any]
    summary: str = ""
    paper: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    circuits: bool = False
    natural: bool = True
    control: bool = False
    size: Size = Size()
    variants: tuple[str, ...] = VARIANTS
    ansatz_variants: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)
    frequencies: Mapping[str, str] = field(default_factory=dict)
    process: ProcessInfo = EPSILON
    conditions: Conditions | None = None
    quanvolution: bool = False
    ansatz: str | None = None
    several: bool = False
    skip: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ancillas: int | None = None
    alone: bool = False

    @property
    def twin(self) -> "ModelRow":
        """The classical twin: the same model with layers of as many weights for circuits."""
        return replace(
            self,
            name=self.name + CONTROL,
            summary=f"Classical twin of {self.name}: a cosine layer of as many weights for each "
            "circuit",
            paper="ours",
            circuits=False,
            control=True,
        )
