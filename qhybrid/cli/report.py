"""`qhybrid report`."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        str | None, typer.Option(metavar="NAME", help="As for `sample` [the run's, or ddim].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Denoising steps [the run's, or 20].")
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
    """Say what a model, ansatz or run costs on a device, and whether its weights do anything.

    What was computed once is remembered: the same report again takes a second.
    """
    from qhybrid.files import user_path, write_text
    from qhybrid.report.request import ReportRequest, check_request
    from qhybrid.report.subject import parse_settings
    from qhybrid_circuits.errors import WriteError
    from qhybrid_circuits.files import writable

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
    destination = None if out is None else user_path(out)
    if destination is not None:
        writable(
            destination,
            "give --out the path of a file in a folder that takes one, or leave it out to see the "
            "report",
        )
    with _telling("all" in request.targets) as tell:
        from qhybrid.report.build import build_report
        from qhybrid.report.render import render

        found = build_report(request, tell)
        text = render(found, output_format, _width(out))
    if destination is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(destination, text)
    except WriteError as error:
        raise WriteError(f"{error}; give another --out: what was computed is remembered") from error
    typer.echo(f"report  {out}")


def _width(out: Path | None) -> int | None:
    """Return the columns of the terminal that is written to, None where there is none."""
    if out is not None or not sys.stdout.isatty():
        return None
    return max(80, shutil.get_terminal_size().columns)


@contextmanager
def _telling(long: bool) -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being worked on: in place on a terminal, else line by line."""
    if not sys.stderr.isatty():
        yield lambda text: typer.echo(text, err=True) if long else None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(f"{text} ...")
