"""`qhybrid bound`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from qhybrid.cli.tables import Format, show_table


def bound(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    num_images: Annotated[int, typer.Option(metavar="N", help="Images of the split.")] = 64,
    split: Annotated[
        Literal["train", "test"] | None,
        typer.Option(help="Which images [test, where there are any].", show_default=False),
    ] = None,
    epoch: Annotated[
        str | None,
        typer.Option(metavar="N|best", help="Weights of a kept epoch, or the best [the newest]."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where networks run.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder [RUN/bounds/SPLIT-N].")
    ] = None,
    output_format: Annotated[
        Format,
        typer.Option("--format", help="How to print: table, md or json.", show_choices=False),
    ] = "table",
) -> None:
    """Measure the variational bound on the likelihood of images.

    It is in bits per dimension. All timesteps are evaluated. Standard output has the terms of the
    bound; a picture shows them by timestep.
    """
    from rich.progress import TextColumn

    from qhybrid.cli.console import PatientConsole
    from qhybrid.printing import progress_bar
    from qhybrid.run_folder import open_run

    found = open_run(run)
    console = PatientConsole(stderr=True)
    with console.status("loading torch"):
        from qhybrid.evaluation.bound import measure_bound
    with progress_bar(console, TextColumn("timesteps"), TextColumn("")) as bar:
        task = bar.add_task("bound", total=None)
        result = measure_bound(
            found,
            num_images=num_images,
            split=split,
            epoch=epoch,
            device=device,
            out=out,
            on_step=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if output_format == "json":
        typer.echo(json.dumps(result.to_dict(), indent=2))
        return
    records = [
        {
            "variance": row["variance"],
            "term": row["term"],
            "bits per dimension": f"{row['bits_per_dimension']:.4g}",
            "95 % interval": f"{row['low']:.4g} to {row['high']:.4g}",
            "nats per image": f"{row['nats_per_image']:.4g}",
        }
        for row in result.records()
    ]
    show_table(records, tuple(records[0]), output_format)
    typer.echo(
        f"\n{result.images} images of the {result.split} split, 256 levels\n"
        f"by timestep  {result.picture_file}\nresults      {result.results_file}"
    )
