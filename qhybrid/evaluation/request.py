"""What to evaluate, and against what; imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from qhybrid.evaluation.features import FeatureRow, check_features
from qhybrid.files import user_path
from qhybrid.sampling.plan import MOST_IMAGES
from qhybrid.sampling.request import SamplingRequest
from qhybrid.settings.option import Option
from qhybrid.settings.sections import DataSection
from qhybrid_circuits.errors import RequestError

PAPER_IMAGES = 7000
"""Generated images of De Falco et al. (2024)."""

_DRAWING = ("sampler", "steps", "backend", "seed", "epoch", "processes")

LEAST_IMAGES = 100
"""One subset of KID."""


@dataclass(frozen=True)
class EvaluationRequest:
    """How images are compared; None takes what the training run was configured with.

    Attributes:
        num_images: The most generated images that are compared.
        features: Keys of `qhybrid.evaluation.features.FEATURES`, separated by commas.
        reference: The split of the real images.
        dataset: The real images, where they are not those of a run, or others are wanted.
        classes: Classes of `dataset` to keep.
        image_size: Side in pixels that images of `dataset` are resized to.
        weights: File of the weights of `inception` or `mobilenet`.
        sampler: As for sampling, of a run whose images are drawn; so are the next five.
        steps: Denoising steps.
        backend: Where the circuits run.
        seed: Of the noise.
        epoch: An epoch whose weights were kept, or `best`.
        processes: How many draw side by side.
        device: Where networks run: `auto`, `cpu` or `cuda`.
    """

    num_images: Annotated[int, Option("Generated images, at most [7000].", metavar="N")] = (
        PAPER_IMAGES
    )
    features: Annotated[
        str,
        Option("inception, mobilenet, classifier, or some [classifier].", metavar="A,B"),
    ] = "classifier"
    reference: Annotated[Literal["train", "test"], Option("Split of the real images [train].")] = (
        "train"
    )
    dataset: Annotated[
        str | None, Option("Real images [the run's].", metavar="NAME|FILE.npz|FOLDER")
    ] = None
    classes: Annotated[
        str | None, Option("Labels of --dataset to keep.", metavar="A,B", text=True)
    ] = None
    image_size: Annotated[
        int | None, Option("Pixels a side that --dataset is resized to.", metavar="N")
    ] = None
    weights: Annotated[
        str | None, Option("Weights of inception or mobilenet [searched].", metavar="FILE")
    ] = None
    sampler: Annotated[str | None, Option("As for `sample` [the run's].", metavar="NAME")] = None
    steps: Annotated[int | None, Option("Denoising steps [the run's].", metavar="N")] = None
    backend: Annotated[str | None, Option("Where circuits run [the run's].", metavar="NAME")] = None
    seed: Annotated[int | None, Option("Of the noise [the run's].", metavar="N")] = None
    epoch: Annotated[
        str | None,
        Option("Weights of a kept epoch, or the best [the newest].", metavar="N|best", text=True),
    ] = None
    processes: Annotated[
        int | None, Option("Processes that draw side by side [1].", metavar="N")
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("Where networks run [auto].")] = "auto"

    def rows(self) -> tuple[FeatureRow, ...]:
        """Return the rows of the features.

        Raises:
            RequestError: There are no such features.
        """
        return check_features(tuple(n.strip() for n in self.features.split(",") if n.strip()))

    def weights_file(self) -> Path | None:
        """Return the file of weights that was named, which exists.

        Raises:
            RequestError: It does not exist, or it is not clear which features it is for.
        """
        if self.weights is None:
            return None
        takers = [row.name for row in self.rows() if row.weights is not None]
        if len(takers) != 1:
            raise RequestError(
                f"--weights is for inception or mobilenet, but --features is {self.features}; name "
                "one of the two"
            )
        path = user_path(self.weights)
        if not path.is_file():
            raise RequestError(f"there is no file '{path}'; check --weights")
        return path

    def data_section(self) -> DataSection | None:
        """Return the real images that were asked for, None where they are the run's.

        Raises:
            RequestError: There is no such data set, or it is not named.
        """
        from qhybrid.settings.sources import parse_config

        named = {"classes": self.classes, "image_size": self.image_size}
        given = {name: value for name, value in named.items() if value is not None}
        if self.dataset is not None:
            return parse_config({"data": {"dataset": self.dataset, **given}}).data
        for name in given:
            raise RequestError(f"--{name.replace('_', '-')} is for --dataset; name that too")
        return None

    def drawing(self) -> dict[str, str | int]:
        """Return what was said of how a run's images are drawn."""
        given = {name: getattr(self, name) for name in _DRAWING}
        return {name: value for name, value in given.items() if value is not None}

    def sampling(self) -> SamplingRequest:
        """Return the request that draws a run's images."""
        drawing = {name: getattr(self, name) for name in _DRAWING}
        return SamplingRequest(num_images=self.num_images, device=self.device, **drawing)

    def check(self) -> None:
        """Refuse what can be refused without a look at the images.

        Raises:
            RequestError: A name or number is not allowed.
        """
        if not LEAST_IMAGES <= self.num_images <= MOST_IMAGES:
            raise RequestError(
                f"--num-images must be {LEAST_IMAGES} to {MOST_IMAGES}, but is {self.num_images}"
            )
        self.rows()
        self.weights_file()
        self.data_section()
