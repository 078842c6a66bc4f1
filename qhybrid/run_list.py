"""The runs below a folder and how far they are; imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qhybrid.files import user_path
from qhybrid.run_folder import RUNS, Run
from qhybrid.run_lock import locked
from qhybrid.run_metrics import COLUMNS, INFLUENCE, newest_evaluation, read_metrics
from qhybrid_circuits.errors import RequestError

State = Literal["training", "finished", "stopped", "unreadable"]


@dataclass(frozen=True)
class ListedRun:
    """What one line says of a run.

    Attributes:
        run: Its folder.
        state: `training` where a process has it, `stopped` where `--resume` goes on with it,
            `unreadable` where config.toml is damaged or names parts that are not found here.
        model: Its model; None, as what follows, where the run is unreadable.
        dataset: Its images.
        step: Optimizer steps that are kept, in metrics.csv or a checkpoint.
        loss: The newest one there.
        figures: The newest figures of images that were drawn, by name: measured while training, or
            by `qhybrid evaluate`.
        problem: Why a run is unreadable.
    """

    run: str
    state: State
    model: str | None = None
    dataset: str | None = None
    step: int | None = None
    loss: float | None = None
    figures: dict[str, float] | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def list_runs(root: Path | str = RUNS) -> list[ListedRun]:
    """Return the runs in a folder and in groups there, the newest last.

    Raises:
        RequestError: There is no such folder.
    """
    root = user_path(root)
    if not root.is_dir():
        raise RequestError(f"there is no folder '{root}'; `qhybrid train` makes a run")
    found = [path for level in ("*", "*/seed-*") for path in root.glob(f"{level}/config.toml")]
    return [_listed(Run(path.parent)) for path in sorted(found, key=lambda p: p.stat().st_mtime)]


def _listed(run: Run) -> ListedRun:
    try:
        config = run.config()
    except RequestError as error:
        return ListedRun(str(run.folder), "unreadable", problem=str(error))
    rows = read_metrics(run.metrics_file)
    losses = [float(row["loss"]) for row in rows if row["loss"]]
    return ListedRun(
        str(run.folder),
        "finished" if run.is_finished(config) else "stopped" if _is_free(run) else "training",
        config.model.name,
        config.data.dataset,
        max(int(rows[-1]["step"]) if rows else 0, run.newest_step()),
        losses[-1] if losses else None,
        _figures(run, rows),
    )


def _figures(run: Run, rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Return the newest figures by name: those of training, and of `qhybrid evaluate`."""
    names = [name for name in (rows[0] if rows else {}) if name not in (*COLUMNS, INFLUENCE)]
    newest = {name: [row[name] for row in rows if row[name]][-1:] for name in names}
    trained = {name: float(cells[0]) for name, cells in newest.items() if cells}
    try:
        evaluation = newest_evaluation(run)
    except (RequestError, OSError):
        return trained  # A damaged file is for `evaluate` and `report` to name.
    if evaluation is None:
        return trained
    path, found = evaluation
    evaluated = {each["name"]: each["value"] for each in found}
    later = not rows or path.stat().st_mtime > run.metrics_file.stat().st_mtime
    return {**trained, **evaluated} if later else {**evaluated, **trained}


def _is_free(run: Run) -> bool:
    try:
        with locked(run.folder):
            return True
    except (RequestError, OSError):
        return False
