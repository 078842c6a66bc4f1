"""`qhybrid compare`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def compare(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|GROUP...",
            help="Training runs, groups of `qhybrid train --seeds N`, or folders of them. Runs "
            "that differ in the seed alone are one model.",
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME", help="QPU to tell the costs on; see `report`."),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="Evaluate runs that were not; as `qhybrid evaluate`:"),
    ] = False,
    output_format: Annotated[
        Literal["table", "md", "json", "html"],
        typer.Option("--format", help="table, md, json or html.", show_choices=False),
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file [standard output].")
    ] = None,
    **settings: Any,
) -> None:
    """Say which model is better, by several seeds of each.

    Or that it cannot be told. Train each with `qhybrid train --seeds N`. Equal models are called
    different in 2 % of comparisons at most. Images are compared by the evaluations in the runs'
    folders; --evaluate adds those that are missing.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.cli.output import destination_of, telling, terminal_width, write_out
    from qhybrid.evaluation.request import EvaluationRequest
    from qhybrid_circuits.errors import RequestError

    given = {name: value for name, value in settings.items() if value is not None}
    if given and not evaluate:
        raise RequestError(
            f"--{next(iter(given)).replace('_', '-')} is for --evaluate; give that too, or leave "
            "it out"
        )
    destination = destination_of(out, "comparison")
    keep_freed_memory()
    from qhybrid.cli.console import PatientConsole
    from qhybrid.comparison.compare import compare as compare_runs

    request = EvaluationRequest(**given) if evaluate else None
    # Standard output has the comparison alone, so that another program can read it.
    console = PatientConsole(stderr=True) if evaluate else None
    with telling(long=evaluate, in_place=not evaluate) as tell:
        found = compare_runs(
            subjects, targets=targets or (), evaluation=request, progress=tell, console=console
        )
        from qhybrid.comparison.render import render

        text = render(found, output_format, terminal_width(out))
    write_out(text, out, destination, "comparison")


def compare_command() -> Callable[..., None]:
    """Return the command with an option for every setting that has one."""
    from qhybrid.cli.options import with_options
    from qhybrid.evaluation.request import EvaluationRequest
    from qhybrid.settings.option import option_fields

    return with_options(compare, option_fields(EvaluationRequest))
