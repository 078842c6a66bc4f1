"""What a run's circuits change in its model, on disk and in words; imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from qhybrid.files import read_json, reading, sealed, write_json
from qhybrid.run_folder import Run

if TYPE_CHECKING:
    from qhybrid_runtime.health import Influence

Figures = Mapping[str, Mapping[str, float | None]]
"""`Influence.to_dict()`."""

NO_CHANGE, NO_LOSS = 1e-3, 1e-3
"""Changes of the output, and of the loss, below which a model is said to do without circuits."""


@dataclass(frozen=True)
class InfluenceRecord:
    """The influence of a run's circuits, or of its controls' layers.

    Attributes:
        step: Optimizer steps done when it was measured.
        images: How many images it was measured on.
        split: Where these are from: `test`, or `train` where a data set has no test images.
        influence: `Influence.to_dict()`.
    """

    step: int
    images: int
    split: str
    influence: dict[str, dict[str, float | None]]

    @property
    def measured_on(self) -> str:
        """What it was measured on, for people."""
        return f"{self.images} {self.split} images after step {self.step:,}"

    def save(self, run: Run) -> None:
        """Write influence.json."""
        write_json(run.influence_file, sealed(asdict(self)))


def read_influence(run: Run) -> InfluenceRecord | None:
    """Return the record of a run; None where nothing was measured.

    Raises:
        RequestError: The file is damaged.
    """
    path = run.influence_file
    if not path.exists():
        return None
    with reading(f"'{path}' is not a readable record of an influence", "delete it"):
        record = read_json(path, InfluenceRecord)
        _of_figures(record.influence)
    return record


def run_influence(run: Run) -> "Influence | None":
    """Return what a run's circuits change in its model; None where nothing was measured.

    Raises:
        RequestError: influence.json is damaged.
    """
    record = read_influence(run)
    return None if record is None else _of_figures(record.influence)


def _of_figures(figures: Figures) -> "Influence":
    from qhybrid_runtime.health import Influence

    return Influence.from_dict(figures)


def in_words(figures: Figures, *, control: bool = False) -> str:
    """Return one line on what circuits, or a control's layers, change."""
    output, loss = figures["mean"]["output"] or 0.0, figures["mean"]["loss"]
    by = f"the output by {output:.2g} of its size"
    if loss is not None:
        by += f" and the loss by {percent(loss)}"
    if output < NO_CHANGE:
        verdict = "the model does without them"
    elif loss is not None and loss < NO_LOSS:
        verdict = "the loss does not need them"
    else:
        verdict = "the model uses them"
    what = "layers in the circuits' places" if control else "circuits"
    return f"{what} set to their mean change {by}: {verdict}"


def percent(change: float) -> str:
    """Return a relative change as text, e.g. "+0.02 %"; none has a minus sign that is not one."""
    return f"{round(100 * change, 2) + 0.0:+.2f} %"
