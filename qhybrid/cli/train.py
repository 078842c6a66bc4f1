"""`qhybrid train`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def train(
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network; see `qhybrid models`.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.npz|FOLDER", help="Images; see `qhybrid datasets`."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Keep only these labels, e.g. 0,1.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Where circuits run; see `qhybrid backends`."),
    ] = None,
    gradient: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How circuits are differentiated [the backend's best]."),
    ] = None,
    noise_aware: Annotated[
        str | None,
        typer.Option(metavar="FAKE", help="Train with the errors of a device, e.g. fake_fez."),
    ] = None,
    noise_source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="gaussian, or quantum: measured on the backend."),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Start from a run's weights, all but the vertex's."),
    ] = None,
    freeze: Annotated[
        Literal["classical"] | None,
        typer.Option(help="Leave the weights taken as they are, but for circuits'."),
    ] = None,
    optimizer: Annotated[
        Literal["adam", "qng"] | None,
        typer.Option(help="qng: the quantum natural gradient for circuits, Adam for the rest."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Images a batch.")] = None,
    precision: Annotated[
        Literal["32", "bf16"] | None, typer.Option(help="Of the classical layers.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where the network runs.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder [runs/MODEL-DATASET-N]."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE.toml|NAME", help="Configuration to start from, e.g. paper."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set any key, e.g. training.learning_rate=1e-3."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, or the newest in runs/.")
    ] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of everything random.")] = None,
) -> None:
    """Train a diffusion model; without options, on handwritten digits, within minutes.

    Flags win over --set, and --set over --config. Ctrl-C saves the state after the present step
    and says how to resume. More --epochs with --resume extend a run.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.run_folder import newest_run, open_run
    from qhybrid.settings.sources import (
        merge_values,
        nest,
        parse_assignments,
        parse_config,
        read_values,
    )
    from qhybrid.training.train import resumed_config
    from qhybrid.training.train import train as train_run

    keep_freed_memory()
    flags: dict[str, Any] = {
        "model.name": model,
        "data.dataset": dataset,
        "data.classes": classes,
        "quantum.backend": backend,
        "quantum.gradient": gradient,
        "quantum.noise_aware": noise_aware,
        "training.noise_source": noise_source,
        "transfer.init_from": init_from,
        "transfer.freeze": freeze,
        "training.optimizer": optimizer,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.precision": precision,
        "training.device": device,
        "training.seed": seed,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    requested = merge_values(
        read_values(config) if config is not None else {},
        nest({**parse_assignments(assignments or []), **given}),
    )
    if resume:
        run = newest_run() if out is None else open_run(out)
        resolved, out = resumed_config(run, requested), run.folder
    else:
        resolved = parse_config(requested)

    from qhybrid.cli.console import PatientConsole

    train_run(resolved, out=out, resume=resume, console=PatientConsole())
