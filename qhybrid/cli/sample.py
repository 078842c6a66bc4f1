"""`qhybrid sample`."""

from pathlib import Path
from typing import Annotated

import typer


def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run's folder.")],
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where circuits run [the training run's backend]."),
    ] = None,
    num_images: Annotated[int, typer.Option(metavar="N", help="How many images.")] = 64,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="ddpm, ddim, dpm++ or sde-dpm++ [the run's sampling.sampler]."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Denoising steps [the run's, or the sampler's].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder [RUN/samplings/SAMPLER-N].")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of the noise [the run's seed].")
    ] = None,
) -> None:
    """Draw images from a training run; the same seed draws the same images."""
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.sampling import SamplingRequest, sample_run

    keep_freed_memory()
    request = SamplingRequest(
        num_images=num_images, sampler=sampler, steps=steps, backend=backend, seed=seed
    )

    from qhybrid.cli.console import PatientConsole

    console = PatientConsole()
    result = sample_run(run, request, out=out, console=console)
    for name, path in (
        ("images", result.images_file),
        ("grid", result.grid_file),
        ("animation", result.animation_file),
        ("manifest", result.manifest_file),
    ):
        console.print(f"[bold]{name:>9}[/bold]  ", end="")
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
