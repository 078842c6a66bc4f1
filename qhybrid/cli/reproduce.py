"""`qhybrid reproduce`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from qhybrid.reproduction.plan import Plan
    from qhybrid.reproduction.request import ReproductionRequest

OutputFormat = Literal["table", "md", "json", "html"]


def reproduce(
    paper: Annotated[
        str | None,
        typer.Argument(metavar="PAPER|FILE.toml", help="Without it, papers are listed."),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="N", help="Its number in the paper; may be repeated."),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B", help="Rows of the tables [all].")
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="small|paper", help="paper is the published size.")
    ] = "small",
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of each row [the scale's].")
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            metavar="[NAME=]FILE.npz",
            help="Stands for a data set of the paper; may be repeated.",
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where networks run.")
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands that do the same, and stop.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the results so far, and run nothing.")
    ] = False,
    output_format: Annotated[
        OutputFormat,
        typer.Option("--format", help="table, md, json or html.", show_choices=False),
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results [reproductions/PAPER-SCALE].")
    ] = None,
) -> None:
    """Run a paper's experiments again, and judge its claims.

    Its figures stand beside ours. The same command goes on where it was stopped. Rows can be run in
    any order.
    """
    if paper is None:
        _list(output_format)
        return
    from dataclasses import replace

    from qhybrid.files import user_path
    from qhybrid.reproduction.plan import make_plan
    from qhybrid.reproduction.request import ReproductionRequest, parse_datasets

    request = ReproductionRequest(
        paper=paper,
        tables=tuple(tables or ()),
        rows=tuple(name.strip() for name in (rows or "").split(",") if name.strip()),
        scale=scale,
        seeds=seeds,
        device=device,
        out=None if out is None else user_path(out),
    )
    request = replace(request, datasets=parse_datasets(tuple(datasets or ()), request))
    plan = make_plan(request)
    if dry_run:
        _print_commands(plan)
        return
    content = _results(plan) if show else _run(request)
    _print(plan, content, output_format)


def _run(request: "ReproductionRequest") -> Mapping[str, Any]:
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.cli.console import PatientConsole
    from qhybrid.reproduction.reproduce import reproduce as run_again

    keep_freed_memory()
    # Standard output has the results alone, so that another program can read them.
    return run_again(request, console=PatientConsole(stderr=True))


def _results(plan: "Plan") -> Mapping[str, Any]:
    from qhybrid.reproduction.results import collect
    from qhybrid_circuits.errors import RequestError

    if not plan.claim_file.is_file():
        raise RequestError(
            f"there are no results in '{plan.folder}'; run the same command without --show, or "
            "name their folder with --out"
        )
    return collect(plan)


def _print(plan: "Plan", content: Mapping[str, Any], output_format: OutputFormat) -> None:
    from qhybrid.cli.output import terminal_width
    from qhybrid.report.render import markdown
    from qhybrid.report.render import tables as as_tables
    from qhybrid.reproduction.show import headline, remarks, sections

    if output_format == "json":
        typer.echo(json.dumps(content, indent=2))
        return
    if output_format == "html":
        from qhybrid.reproduction.page import page

        typer.echo(page(plan.folder, content), nl=False)
        return
    parts = headline(content), remarks(content), sections(content)
    if output_format == "md":
        typer.echo(markdown(*parts), nl=False)
        return
    typer.echo(as_tables(*parts, terminal_width(None)), nl=False)
    typer.echo(f"\nresults  {plan.page_file}")


def _print_commands(plan: "Plan") -> None:
    for line in plan.commands():
        typer.echo(line)
    scale = plan.scale
    typer.echo(f"# {len(plan.jobs)} runs; {scale.summary}; time: {scale.time}")


def _list(output_format: OutputFormat) -> None:
    from qhybrid.cli.tables import show_table
    from qhybrid.reproduction.experiment import experiments

    records = [
        {
            "name": name,
            "scale": scale_name,
            "tables": list(experiment.tables),
            "rows": list(experiment.rows),
            "time": scale.time,
            "size": scale.summary,
            "paper": experiment.paper,
            "title": experiment.title,
        }
        for name, experiment in experiments()
        for scale_name, scale in experiment.scales.items()
    ]
    columns = ("name", "scale", "tables", "time", "paper")
    show_table(records, columns, "table" if output_format == "html" else output_format)
