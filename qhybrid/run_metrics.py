"""What a run has logged: metrics.csv, and the figures of its evaluations; imports nothing heavy."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from qhybrid.files import read_json, reading, write_text
from qhybrid.run_folder import Run
from qhybrid_circuits.files import regular, writing

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second")
"""`step` counts from 1, `loss` is the mean over the steps since the row before.

Runs that are evaluated while they train have columns of figures too, and a row an evaluation, whose
other cells are empty.
"""

INFLUENCE = "influence"
"""A column of models with circuits or their controls: at the end of an epoch, how much the output
changes when these say their mean, `Influence.mean.output`."""

HELD_OUT = "held_out_loss"
"""A column of the loss on the test split, where there is one."""

FIGURE = ("low", "value", "high", "floor")
"""What an evaluation's record says of a figure: its interval, and that of real images."""

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


def read_series(run: Run) -> dict[str, list[tuple[int, dict[str, float]]]]:
    """Return the figures that were measured while training: name -> epochs, in order, and values.

    Raises:
        RequestError: A file of an evaluation is damaged.
    """
    series: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for path in sorted(run.evaluations.glob("epoch-*.json")):
        with reading(f"'{path}' cannot be read", "delete it"):
            record = read_json(path, dict[str, Any])
            for each in record["figures"]:
                values = {key: float(each[key]) for key in FIGURE}
                if not all(abs(value) < 1e12 for value in values.values()):
                    raise ValueError("a figure is out of bounds")
                if not 0 < record["epoch"] < 1e9:
                    raise ValueError("the epoch is out of bounds")
                # An unpaired surrogate, which no font has, is no UTF-8.
                name = each["name"].encode().decode()
                series.setdefault(name, []).append((int(record["epoch"]), values))
    return {name: sorted(points, key=itemgetter(0)) for name, points in series.items()}


def newest_evaluation(run: Run) -> tuple[Path, list[dict[str, Any]]] | None:
    """Return the file of the newest `qhybrid evaluate` of a run's images, and its figures.

    Each figure has `name`, `images`, and the numbers of `FIGURE`. None where there is no such file.

    Raises:
        RequestError: The file is damaged.
    """
    files = run.samplings.glob("*/evaluation-*/evaluation.json")
    path = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if path is None:
        return None
    with reading(f"'{path}' cannot be read", "delete it, and evaluate again"):
        found = read_json(path, dict[str, Any])["figures"]
        keys = (("name", str), ("images", int), *((key, float) for key in FIGURE))
        return path, [{key: kind(each[key]) for key, kind in keys} for each in found]


def _is_row(row: Mapping[str, str]) -> bool:
    try:
        return int(row["step"]) > 0 and len([float(cell) for cell in row.values() if cell]) > 1
    except ValueError:
        return False
