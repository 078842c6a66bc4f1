"""`qhybrid report`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|ANSATZ|RUN", help="See `qhybrid models`; or a training run's folder."
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="NAME",
            help="Device: fake_NAME, ibm_NAME, ibm, or all for every fake one; may be repeated. "
            "Without it circuits are counted as they are written.",
        ),
    ] = None,
    fractional: Annotated[
        bool, typer.Option("--fractional", help="Use rzz and rx of any angle.")
    ] = False,
    health: Annotated[
        bool, typer.Option("--health/--no-health", help="Examine weights, inputs and gradients.")
    ] = True,
    shots: Annotated[
        int | None, typer.Option(metavar="N", help="Executions per circuit [as `sample` takes].")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the bill [as `sample` takes on a QPU].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Denoising steps [as `sample` takes, 10].")
    ] = None,
    num_images: Annotated[
        int, typer.Option(metavar="N", help="Images that are drawn together and share jobs.")
    ] = 64,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Of an ansatz or model, e.g. variant=released."
        ),
    ] = None,
    output_format: Annotated[
        Literal["table", "md", "json", "html"],
        typer.Option("--format", help="table, md, json or html.", show_choices=False),
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file [standard output].")
    ] = None,
) -> None:
    """Say what circuits cost on a QPU, and whether they do anything.

    The circuits are those of a model, an ansatz or a run. What was computed once is remembered: the
    same report again takes seconds.
    """
    from qhybrid.cli.output import destination_of, telling, terminal_width, write_out
    from qhybrid.report.request import ReportRequest, check_request
    from qhybrid.report.subject import parse_settings

    request = ReportRequest(
        subject=subject,
        targets=tuple(targets or ()),
        fractional=fractional,
        health=health,
        shots=shots,
        sampler=sampler,
        steps=steps,
        num_images=num_images,
        settings=parse_settings(assignments or []),
    )
    check_request(request)
    destination = destination_of(out, "report")
    with telling(long="all" in request.targets) as tell:
        from qhybrid.report.build import build_report
        from qhybrid.report.render import render

        found = build_report(request, tell)
        text = render(found, output_format, terminal_width(out))
    write_out(text, out, destination, "report")
