"""What a reproduction has found so far: figures of each row beside the paper's, and verdicts."""

from typing import Any

from qhybrid.comparison.verdict import LEVEL, interval
from qhybrid.reproduction.claims import judge
from qhybrid.reproduction.figures import Figures, read_figures, shown_name
from qhybrid.reproduction.plan import Plan
from qhybrid.version import __version__


def collect(plan: Plan) -> dict[str, Any]:
    """Return all that is known, as values that JSON has; docs/reproduction.md says what is in it.

    Raises:
        RequestError: A file is damaged.
    """
    experiment, request, scale = plan.experiment, plan.request, plan.scale
    known: dict[tuple[str, str, int], Figures] = {}
    tables = []
    for number, names in request.chosen(experiment).items():
        table = experiment.tables[number]
        tables.append(
            {
                "table": number,
                "title": table.title,
                "dataset": table.dataset,
                "stand_in": request.datasets.get(table.dataset),
                "notes": list(table.notes),
                "rows": [_row(plan, number, name, known) for name in names],
            }
        )
    points = [point for job in plan.jobs for point in job.points if point.evaluated]
    evaluation = scale.evaluation.model_dump(exclude_none=True)
    return {
        "qhybrid": __version__,
        "paper": {key: getattr(experiment, key) for key in ("title", "paper", "link")},
        "notes": list(experiment.notes),
        "scale": {"name": request.scale, "summary": scale.summary, **evaluation},
        "seeds": len({job.seed for job in plan.jobs}),
        "level": LEVEL,
        "evaluations": {
            "done": sum(point.results_file.is_file() for point in points),
            "planned": len(points),
        },
        "tables": tables,
        "claims": [
            judge(experiment, claim, figure, scale.evaluation.features, known)
            for claim in experiment.claims
            if claim.table in request.chosen(experiment)
            for figure in claim.figures
        ],
    }


def _row(
    plan: Plan, table: str, name: str, known: dict[tuple[str, str, int], Figures]
) -> dict[str, Any]:
    """Return a row with its figures after each epoch, which are put into `known` too."""
    row = plan.experiment.rows[name]
    jobs = [job for job in plan.jobs if (job.table, job.row) == (table, name)]
    epochs = plan.experiment.epochs(table, name)
    if jobs:
        epochs = tuple(point.epoch for point in jobs[0].points if point.evaluated)
    points = []
    for epoch in epochs:
        figures = known[table, name, epoch] = read_figures(jobs, epoch)
        at = [point for job in jobs for point in job.points if point.epoch == epoch]
        grids = [str(p.grid_file.relative_to(plan.folder)) for p in at if p.grid_file.is_file()]
        points.append(
            {
                "epoch": epoch,
                "steps": at[0].step if at else None,
                "seeds": len(figures.get("loss", ())),
                "figures": _beside(plan, table, name, epoch, figures),
                "grid": grids[0] if grids else None,
            }
        )
    runs = [str(job.run.folder.relative_to(plan.folder)) for job in jobs]
    return {
        "row": name,
        "label": row.label,
        "missing": row.missing,
        "runs": runs,
        "points": points,
    }


def _beside(
    plan: Plan, table: str, row: str, epoch: int, figures: Figures
) -> dict[str, dict[str, Any]]:
    """Return each figure, the paper's beside ours."""
    published = plan.experiment.published(table, row, epoch)
    found = {}
    for name in dict.fromkeys((*published, *figures)):
        values = list(figures.get(name, {}).values())
        mean, low, high = interval(values) if values else (None, None, None)
        spread = len(values) > 1
        found[name] = {
            "name": shown_name(name, plan.scale.evaluation.features),
            "published": published.get(name),
            "values": values,
            "mean": mean,
            "low": low if spread else None,
            "high": high if spread else None,
        }
    return found
