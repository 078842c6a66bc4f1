"""The evaluations that lie in a run's folder, and those that are missing there."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from qhybrid.evaluation.drawing import check_drawing
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.files import read_json, reading
from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, order=True)
class Measurement:
    """How a figure was measured: only figures of one measurement can be compared.

    Attributes:
        images: Generated images.
        reference_images: Real images that they were compared with.
        name: Of the figure.
        features: What it was computed on.
        reference: Split of the real images.
        dataset: The real images.
    """

    images: int
    reference_images: int
    name: str
    features: str
    reference: str
    dataset: str

    @property
    def text(self) -> str:
        """All but the name, for people."""
        against = f"{self.reference_images:,} of {self.dataset}, {self.reference}"
        return f"{self.features}; {self.images:,} images against {against}"


@dataclass(frozen=True)
class FoundFigure:
    """A figure of a run's images.

    Attributes:
        value: The figure.
        drawn: How the images were drawn, for people.
    """

    value: float
    drawn: str


def run_figures(run: Run) -> tuple[dict[Measurement, FoundFigure], tuple[str, ...]]:
    """Return the newest figure of each measurement among a run's evaluations, and notes.

    An evaluation that cannot be read, or is of weights that were trained on since, is left out and
    noted.
    """
    found: dict[Measurement, FoundFigure] = {}
    notes = []
    files = run.samplings.glob("*/evaluation-*/evaluation.json")
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        manifest_file = SamplingRun(path.parent.parent).manifest_file
        try:
            with reading(f"'{manifest_file}' is damaged", f"'{path}' is left out"):
                manifest = read_json(manifest_file, dict[str, Any])
                outdated, drawn = str(manifest["created"]) < _last_trained(run), _drawn(manifest)
            with reading(f"'{path}' is damaged", "it is left out"):
                figures = _figures(read_json(path, dict[str, Any]), drawn)
        except RequestError as error:
            notes.append(str(error))
            continue
        if outdated:
            notes.append(f"'{path}' is left out: the run was trained on since")
        else:
            found.update(figures)
    return found, tuple(notes)


def evaluate_missing(
    run: Run, request: EvaluationRequest, console: "Console | None" = None
) -> None:
    """Evaluate a run unless this evaluation is there already.

    Raises:
        RequestError: The request is wrong, or the images cannot be had.
    """
    from qhybrid.evaluation.evaluate import evaluate

    drawn = _drawn(vars(check_drawing(run, request)))
    data = request.data_section() or run.config().data
    wanted = (request.num_images, request.reference, data.dataset, drawn)
    there = {
        each.features
        for each, figure in run_figures(run)[0].items()
        if (each.images, each.reference, each.dataset, figure.drawn) == wanted
    }
    if not {row.name for row in request.rows()} <= there:
        evaluate(run.folder, request, console=console)


def _last_trained(run: Run) -> str:
    """Return when the run was started or resumed last, in UTC as ISO 8601 has it."""
    files = run.folder.glob("environment*.json")
    return max((str(read_json(path, dict[str, Any])["started"]) for path in files), default="")


def _figures(content: Mapping[str, Any], drawn: str) -> dict[Measurement, FoundFigure]:
    return {
        Measurement(
            images=int(each["images"]),
            reference_images=int(each["reference_images"]),
            name=str(each["name"]),
            features=str(each["features"]),
            reference=str(each["reference"]),
            dataset=str(content["dataset"]),
        ): FoundFigure(float(each["value"]), drawn)
        for each in content["figures"]
        if isfinite(float(each["value"]))
    }


def _drawn(values: Mapping[str, Any]) -> str:
    """Return how images are drawn: by a manifest, or by a plan."""
    return "{sampler}, {steps} steps, on {backend}, seed {seed}".format_map(values)
