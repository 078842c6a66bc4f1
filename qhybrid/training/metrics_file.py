"""The file metrics.csv of a run; imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from qhybrid.files import write_text
from qhybrid_circuits.files import regular, writing

COLUMNS = ("step", "epoch", "loss", "learning_rate", "steps_per_second")
"""`step` counts from 1, `loss` is the mean over the steps since the row before."""


class MetricsFile:
    """A CSV file that grows by whole rows."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open or begin the file; rows after a step, from a run that was cut off, are dropped."""
        self._path = path
        rows = [row for row in read_rows(path) if int(row[0]) <= after_step]
        write_text(path, "".join(map(_line, (COLUMNS, *rows))))

    def append(self, row: Sequence[object]) -> None:
        """Add a row in one write, so that a reader sees all of it or none."""
        with writing(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(row))


def _line(row: Sequence[object]) -> str:
    return ",".join(map(str, row)) + "\n"


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows that hold a number in each column; what else is there is left out."""
    if not path.exists():
        return []
    lines = regular(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return [row for row in (line.split(",") for line in lines) if _is_row(row)]


def _is_row(row: list[str]) -> bool:
    try:
        return int(row[0]) > 0 and len([float(cell) for cell in row]) == len(COLUMNS)
    except ValueError:
        return False
