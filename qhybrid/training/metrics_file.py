"""The file metrics.csv of a run; imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path

from qhybrid.files import write_text
from qhybrid_circuits.files import regular, writing

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second")
"""`step` counts from 1, `loss` is the mean over the steps since the row before.

Runs that are evaluated while they train have columns of figures too, and a row an evaluation, whose
other cells are empty.
"""

INFLUENCE = "influence"
"""A column of models with circuits or their controls: at the end of an epoch, how much the output
changes when these say their mean, `Influence.mean.output`."""

Row = Mapping[str, object]


class MetricsFile:
    """A CSV file that grows by whole rows."""

    def __init__(self, path: Path, *, after_step: int, figures: tuple[str, ...] = ()) -> None:
        """Open or begin the file; rows after a step, from a run that was cut off, are dropped.

        Columns of figures that are there already stay.
        """
        self._path = path
        rows = [row for row in read_metrics(path) if int(row["step"]) <= after_step]
        there = (name for row in rows[:1] for name in row)
        self._columns = tuple(dict.fromkeys((*COLUMNS, *there, *figures)))
        self._evaluated = {int(row["step"]) for row in rows if not row["loss"]}
        write_text(path, ",".join(self._columns) + "\n" + "".join(map(self._line, rows)))

    def append(self, row: Row) -> None:
        """Add a row in one write, so that a reader sees all of it or none."""
        with writing(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._line(row))

    def has_evaluation(self, step: int) -> bool:
        """Whether the row of an evaluation at a step was there when the file was opened."""
        return step in self._evaluated

    def _line(self, row: Row) -> str:
        return ",".join(str(row.get(name, "")) for name in self._columns) + "\n"


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows that hold a number, or nothing, in each column; others are left out."""
    if not path.exists():
        return []
    lines = regular(path).read_text(encoding="utf-8", errors="replace").splitlines()
    table = [line.split(",") for line in lines]
    columns = next((cells for cells in table if cells[: len(COLUMNS)] == [*COLUMNS]), [*COLUMNS])
    rows = (dict(zip(columns, cells, strict=True)) for cells in table if len(cells) == len(columns))
    return [row for row in rows if _is_row(row)]


def _is_row(row: Mapping[str, str]) -> bool:
    try:
        return int(row["step"]) > 0 and len([float(cell) for cell in row.values() if cell]) > 1
    except ValueError:
        return False
