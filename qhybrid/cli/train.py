"""`qhybrid train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def train(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder [runs/MODEL-DATASET-N].")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.toml|NAME", help="Configuration to start from; see `qhybrid configs`."
        ),
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
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train with N seeds, from --seed on: a group of runs."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Runs of --seeds at a time [1; with Ray, one a machine]."),
    ] = None,
    launcher: Annotated[
        Literal["local", "ray"],
        typer.Option(help="ray: train the runs of --seeds on a Ray cluster.", show_choices=False),
    ] = "local",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before measuring noise for over a minute.")
    ] = False,
    **settings: Any,
) -> None:
    """Train a diffusion model; without options, on 8x8 digits.

    Flags win over --set, and --set over --config. Ctrl-C saves the state after the present step
    and says how to resume. More --epochs with --resume extend a run.
    """
    from qhybrid.allocator import keep_freed_memory
    from qhybrid.files import user_path
    from qhybrid.run_folder import newest_folder, open_run
    from qhybrid.run_group import is_group
    from qhybrid.settings import sources
    from qhybrid.settings.kind_settings import chosen_model
    from qhybrid.settings.recipes import departures
    from qhybrid.training.seeds import open_group, train_seeds
    from qhybrid.training.train import resumed_config
    from qhybrid.training.train import train as train_run

    keep_freed_memory()
    keys = {field.name: key for key, field in sources.option_keys()}
    given = {keys[name]: value for name, value in settings.items() if value is not None}
    base = sources.read_values(config) if config is not None else {}
    assigned = sources.parse_assignments(assignments or [])
    requested = sources.merge_values(base, sources.nest({**assigned, **given}))
    note = None
    if resume:
        out = newest_folder() if out is None else user_path(out)
        grouped = seeds is not None or is_group(out)
        saved = open_group(out) if grouped else open_run(out)
        resolved = resumed_config(saved.config(), requested)
    else:
        grouped, resolved = seeds is not None, sources.parse_config(requested)
        note = departures(resolved, {*assigned, *given}) if config is None else None

    from qhybrid.cli.console import PatientConsole, ask_seconds
    from qhybrid.training.outcome import agreed

    console, confirm = PatientConsole(), agreed if yes else ask_seconds
    unnamed = not resume and "name" not in requested.get("model", {})
    if unnamed and (told := chosen_model(resolved.model, resolved.data)):
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    if grouped:
        train_seeds(
            resolved,
            seeds=seeds,
            out=out,
            resume=resume,
            jobs=jobs,
            launcher=launcher,
            console=console,
            note=note,
            confirm=confirm,
        )
    else:
        _refuse_group_options(jobs, launcher)
        train_run(resolved, out=out, resume=resume, console=console, note=note, confirm=confirm)


def _refuse_group_options(jobs: int | None, launcher: str) -> None:
    from qhybrid_circuits.errors import RequestError

    if jobs is not None or launcher != "local":
        name = "launcher" if jobs is None else "jobs"
        raise RequestError(f"--{name} is for a group of runs; give --seeds N too, or leave it out")


def train_command() -> Callable[..., None]:
    """Return the command with an option for every setting that has one."""
    from qhybrid.cli.options import with_options
    from qhybrid.settings.sources import option_keys

    return with_options(train, (field for _, field in option_keys()))
