"""The features that images are compared by, a row each; imports nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import load_reference

if TYPE_CHECKING:
    from torch import Tensor

    from qhybrid.settings.sections import DataSection


@dataclass(frozen=True)
class FeatureRow:
    """Features that exist.

    Attributes:
        name: What `--features` takes.
        loader: "module:function", (Wanted) -> Extractor; RequestError where it cannot be had.
        weights: "module:function", (given: Path | None) -> Path | None, that finds the file of
            weights without a network; None where none is needed.
        prefix: What figures that are defined on Inception's features alone are called with these.
    """

    name: str
    loader: str
    weights: str | None = None
    prefix: str = ""


_ROWS = (
    FeatureRow(
        "inception",
        loader="qhybrid.evaluation.inception:load_inception",
        weights="qhybrid.evaluation.inception:find_weights",
    ),
    FeatureRow(
        "mobilenet",
        loader="qhybrid.evaluation.mobilenet:load_mobilenet",
        weights="qhybrid.evaluation.mobilenet:find_weights",
        prefix="mobilenet-",
    ),
    FeatureRow(
        "classifier",
        loader="qhybrid.evaluation.classifier:load_classifier",
        prefix="classifier-",
    ),
)

FEATURES = {row.name: row for row in _ROWS}
"""Name -> row."""


@dataclass(frozen=True)
class Wanted:
    """What a loader is asked for.

    Attributes:
        data: The real images, which the classifier is trained on.
        weights: A file of weights that the user names; None searches.
        device: `cpu` or `cuda`.
        tell: Called with a line that people should read.
    """

    data: "DataSection"
    weights: Path | None
    device: str
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Extractor:
    """Turns images into features.

    Attributes:
        row: Which features.
        network: uint8 (B, C, H, W) on the device -> features (B, D) and logits (B, K).
        batch: Images at once.
        device: Where the network is.
        note: Where it comes from, in a line.
    """

    row: FeatureRow
    network: "Callable[[Tensor], tuple[Tensor, Tensor]]"
    batch: int
    device: str
    note: str


def check_features(names: tuple[str, ...]) -> tuple[FeatureRow, ...]:
    """Return the rows of names.

    Raises:
        UnknownNameError: There are no such features.
        RequestError: None is named.
    """
    for name in names:
        if name not in FEATURES:
            raise UnknownNameError("features", name, FEATURES)
    if not names:
        raise RequestError(f"no features are named; give some of {', '.join(FEATURES)}")
    return tuple(FEATURES[name] for name in dict.fromkeys(names))


def missing(name: str, reason: str) -> RequestError:
    """Return the error that says why features cannot be had, and which others can."""
    others = [
        row.name
        for row in _ROWS
        if row.name != name and (row.weights is None or load_reference(row.weights)(None))
    ]
    return RequestError(
        f"features '{name}' cannot be had: {reason}; those that can: {', '.join(others)}"
    )
