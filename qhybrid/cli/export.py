"""`qhybrid export`."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run's folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder.")],
    licence: Annotated[
        str, typer.Option("--licence", metavar="ID", help="In the model card.")
    ] = "apache-2.0",
    qasm: Annotated[
        bool, typer.Option("--qasm", help="Write the trained circuits as OpenQASM 3 and QPY.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(metavar="FAKE", help="Lower them to this QPU, too.")
    ] = None,
) -> None:
    """Write a run as a folder for the Hugging Face hub.

    It has a model card. `qhybrid.from_pretrained` and the commands that take runs take it.
    """
    from qhybrid.cli.output import telling
    from qhybrid.sharing.export import export_run

    with telling(long=False) as tell:
        tell("exporting")
        folder = export_run(run, out, licence=licence, circuits=qasm, target=target)
    files = sum(path.is_file() for path in folder.rglob("*"))
    typer.echo(f"folder  {folder} ({files} files)\ncard    {folder / 'README.md'}")
    typer.echo(f"next    hf upload OWNER/NAME {folder}")
