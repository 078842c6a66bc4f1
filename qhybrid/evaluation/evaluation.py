"""What an evaluation found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qhybrid.evaluation.memorization import Memorization
from qhybrid.evaluation.results_folder import NEAREST, PICTURE, RESULTS


@dataclass(frozen=True)
class FigureResult:
    """A figure with its features, interval and floor.

    Attributes:
        name: Of the figure; `FID`, `KID` and `IS` are of Inception's features alone.
        features: What it was computed on; `pixels` for SSIM.
        value: Of the generated images.
        low: Lower end of the 95 % interval of resampled generated images.
        high: Upper end.
        floor: Of real images in their place.
        images: Generated images.
        reference: Split of the real images.
        reference_images: Real images that the generated ones were compared with.
        floor_images: Real images in the generated ones' place.
    """

    name: str
    features: str
    value: float
    low: float
    high: float
    floor: float
    images: int
    reference: str
    reference_images: int
    floor_images: int


@dataclass(frozen=True)
class Evaluation:
    """What is known of generated images.

    Attributes:
        subject: What was evaluated.
        dataset: The real images.
        figures: All figures.
        memorization: How near images are to training images; None of quantum states.
        features: Where the features come from, by their names.
        notes: Warnings.
        folder: Where the results lie.
    """

    subject: str
    dataset: str
    figures: tuple[FigureResult, ...]
    memorization: Memorization | None
    features: Mapping[str, str]
    notes: tuple[str, ...]
    folder: Path

    @property
    def picture_file(self) -> Path:
        """The nearest pairs of generated and training images (PNG)."""
        return self.folder / PICTURE

    @property
    def nearest_file(self) -> Path:
        """The nearest training image of each generated one, and the distance to it (npz)."""
        return self.folder / NEAREST

    @property
    def results_file(self) -> Path:
        """All of it (JSON)."""
        return self.folder / RESULTS

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `--format json` prints them."""
        files = {"picture": str(self.picture_file), "nearest": str(self.nearest_file)}
        near = self.memorization
        return {
            "subject": self.subject,
            "dataset": self.dataset,
            "figures": [asdict(figure) for figure in self.figures],
            "memorization": None if near is None else {**near.to_dict(), **files},
            "features": dict(self.features),
            "notes": list(self.notes),
        }
