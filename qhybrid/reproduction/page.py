"""A reproduction as one HTML page that needs nothing but itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qhybrid.comparison.charts import loss_curves
from qhybrid.comparison.training_log import read_log
from qhybrid.report.curves import COLOURS, Curves
from qhybrid.report.markup import embedded, fill
from qhybrid.reproduction.show import headline, remarks, sections, summary
from qhybrid.run_folder import Run


def page(folder: Path, content: Mapping[str, Any]) -> str:
    """Return the page of results that lie in a folder."""
    found = sections(content)
    tables = [
        {
            "section": section,
            "grids": _grids(folder, table),
            "curves": _curves(folder, table),
            "forward": _forward(folder, table),
        }
        for section, table in zip(found, content["tables"], strict=False)
    ]
    return str(
        fill(
            "reproduction.html",
            content=content,
            headline=headline(content),
            remarks=[each for each in remarks(content) if each not in content["notes"]],
            claims=found[len(tables) :],
            tables=tables,
            summary=summary(content),
        )
    )


def _grids(folder: Path, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pictures of a table: the first images of each row's first seed."""
    return [
        {
            "name": f"{row['label']}, epoch {point['epoch']}",
            "colour": number % COLOURS,
            "image": embedded(folder / point["grid"]),
        }
        for number, row in enumerate(_with_losses(folder, table))
        for point in row["points"]
        if point["grid"] is not None
    ]


def _forward(folder: Path, table: Mapping[str, Any]) -> str | None:
    """Return the picture of the forward diffusion that a run has drawn, if any has."""
    pictures = [folder / run / "forward.png" for row in table["rows"] for run in row["runs"]]
    return next((embedded(picture) for picture in pictures if picture.is_file()), None)


def _curves(folder: Path, table: Mapping[str, Any]) -> Curves | None:
    """Return the training losses of all rows that have any."""
    rows = _with_losses(folder, table)
    logs = [[read_log(run) for run in _logged(folder, row)] for row in rows]
    return loss_curves([row["label"] for row in rows], logs) if rows else None


def _with_losses(folder: Path, table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in table["rows"] if _logged(folder, row)]


def _logged(folder: Path, row: Mapping[str, Any]) -> list[Run]:
    """Return the runs of a row that have an evaluation, and so a log."""
    runs = [Run(folder / each) for each in row["runs"]]
    return [run for run in runs if any(run.folder.glob("epoch-*/evaluation/evaluation.json"))]
