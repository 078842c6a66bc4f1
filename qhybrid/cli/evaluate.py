"""`qhybrid evaluate`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qhybrid.cli.tables import Format, show_table

if TYPE_CHECKING:
    from qhybrid.evaluation.evaluation import Evaluation


def evaluate(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SAMPLING|FOLDER|FILE.npz",
            help="A training run, a sampling run, a folder of images, or uint8 (N, H, W, C) under "
            "`images`.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder [evaluation-N in the sampling run]."),
    ] = None,
    output_format: Annotated[
        Format,
        typer.Option("--format", help="How to print: table, md or json.", show_choices=False),
    ] = "table",
    **settings: Any,
) -> None:
    """Compare generated images with real ones by FID and others.

    It also says whether images are copies. The images of a run are drawn first; the same request
    draws no second time. Figures have a 95 % interval, and a floor: the same figure of real images.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.evaluation.evaluate import evaluate as evaluate_images
    from qhybrid.evaluation.request import EvaluationRequest

    keep_freed_memory()
    from qhybrid.cli.console import PatientConsole

    given = {name: value for name, value in settings.items() if value is not None}
    request = EvaluationRequest(**given)
    # Standard output has the figures alone, so that another program can read them.
    console = PatientConsole(stderr=True)
    found = evaluate_images(subject, request, out=out, console=console)
    for note in found.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if output_format == "json":
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    _show(found, output_format)


def _show(found: "Evaluation", output_format: Format) -> None:
    records = [
        {
            "figure": each.name,
            "features": each.features,
            "value": f"{each.value:.4g}",
            "95 % interval": f"{each.low:.4g} to {each.high:.4g}",
            "floor": f"{each.floor:.4g}",
            "images": each.images,
            "reference": f"{each.reference} ({each.reference_images:,})",
        }
        for each in found.figures
    ]
    show_table(records, tuple(records[0]), output_format)
    near = found.memorization
    if near is None:
        typer.echo(f"\nresults  {found.results_file}")
        return
    typer.echo(
        f"\n{near.share:.2%} ({near.low:.2%} to {near.high:.2%}) of the images are nearer to a "
        f"training image than {1 - near.expected:.0%} of {near.training_images:,} training images "
        f"are to another; of such images {near.expected:.0%} are expected; copies: {near.copies}\n"
        f"nearest pairs  {found.picture_file}\nresults        {found.results_file}"
    )


def evaluate_command() -> Callable[..., None]:
    """Return the command with an option for every setting that has one."""
    from qhybrid.cli.options import with_options
    from qhybrid.evaluation.request import EvaluationRequest
    from qhybrid.settings.option import option_fields

    return with_options(evaluate, option_fields(EvaluationRequest))
