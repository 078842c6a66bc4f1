"""Real images on some features, for sets of generated images to be compared with."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import TextColumn
from torch import Tensor

from qhybrid.evaluation.bootstrap import resample
from qhybrid.evaluation.evaluation import FigureResult
from qhybrid.evaluation.features import Extractor
from qhybrid.evaluation.figures import FIGURES, ImageFeatures
from qhybrid.evaluation.reals import RealImages
from qhybrid.printing import progress_bar


@dataclass(frozen=True)
class Comparison:
    """What is known of the real images once, however often images are compared with them.

    Attributes:
        extractor: The features.
        split: Which real images the reference is.
        reference: What generated images are compared with.
        floors: Each figure's values of real images, by its row's place in `FIGURES`.
        floor_images: Real images in the generated ones' place there.
    """

    extractor: Extractor
    split: str
    reference: ImageFeatures
    floors: dict[int, tuple[float, ...]]
    floor_images: int

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that are measured, in order."""
        prefix, names = self.extractor.row.prefix, []
        for place in self.floors:
            figure = FIGURES[place]
            names += [f"{prefix * figure.of_inception}{name}" for name in figure.limits]
        return tuple(names)

    def figures(self, generated: Tensor, console: Console) -> Iterator[FigureResult]:
        """Yield the figures of images, uint8 (N, H, W, C)."""
        drawn, counts = embedded(self.extractor, generated, console), resample(len(generated))
        row, names = self.extractor.row, iter(self.names)
        with console.status(f"figures on {row.name}"):
            for place, floors in self.floors.items():
                figure = FIGURES[place]
                found = figure.measure(drawn, self.reference, counts)
                for limits, each, floor in zip(figure.limits.values(), found, floors, strict=True):
                    yield FigureResult(
                        next(names),
                        "pixels" if figure.of_pixels else row.name,
                        each.value,
                        *each.interval(*limits),
                        floor,
                        len(generated),
                        self.split,
                        len(self.reference),
                        self.floor_images,
                    )


def comparison(
    extractor: Extractor,
    reals: RealImages,
    split: str,
    console: Console,
    names: Collection[str] | None = None,
) -> Comparison:
    """Find the features of the real images, and the floors of the figures.

    Args:
        extractor: The features.
        reals: The real images.
        split: Where the reference is from.
        console: Where progress is shown.
        names: Figures, of which those that are computed together all are; None for all figures.
    """
    every = embedded(extractor, reals.images, console)
    parts = (every[each] for each in (reals.reference, reals.floor, reals.floor_reference))
    reference, floor, floor_reference = parts
    none, floors = torch.zeros(0, len(floor)), {}
    with console.status(f"figures of real images on {extractor.row.name}"):
        for place, figure in enumerate(FIGURES):
            if names is None or figure.limits.keys() & set(names):
                usual = figure.measure(floor, floor_reference, none)
                floors[place] = tuple(each.value for each in usual)
    return Comparison(extractor, split, reference, floors, len(floor))


def embedded(extractor: Extractor, images: Tensor, console: Console) -> ImageFeatures:
    """Return images, uint8 (N, H, W, C), with their features."""
    found: list[Tensor] = []
    with (
        progress_bar(console, TextColumn("images"), TextColumn("")) as progress,
        torch.inference_mode(),
    ):
        task = progress.add_task(f"{extractor.row.name} features", total=len(images))
        for start in range(0, len(images), extractor.batch):
            batch = images[start : start + extractor.batch].permute(0, 3, 1, 2)
            outputs = extractor.network(batch.to(extractor.device))
            # One tensor for all: small ones between a network's buffers would fragment the memory.
            found = found or [torch.empty(len(images), each.shape[1]) for each in outputs]
            for values, each in zip(found, outputs, strict=True):
                values[start : start + len(each)] = each
            progress.advance(task, len(batch))
    return ImageFeatures(images, *found)
