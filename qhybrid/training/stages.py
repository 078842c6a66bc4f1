"""A run of two stages: a model is trained first, in the run's folder; the run starts from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.models.rows import MODELS
from qhybrid.printing import print_heading
from qhybrid.run_folder import RUNS, Run, usual_name
from qhybrid.run_lock import occupied
from qhybrid.settings.config import Config
from qhybrid.settings.sources import parse_config, save_config
from qhybrid.training.completion import is_complete
from qhybrid.training.outcome import Interrupted
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

    from qhybrid.settings.sources import Values

_OF_THE_RUN = ("keep_epochs", "max_steps", "optimizer")
"""Keys of `training` that the first stage may not be able to have."""


def first_stage(config: Config) -> Config:
    """Return the settings of the model that is trained first: the run's, but for the model.

    Of the model's settings it has the width, and the variant where it has one of this name. The
    optimizer is Adam, and no epoch's weights are kept.

    Raises:
        RequestError: Such a model cannot be trained.
    """
    name, own = str(config.transfer.model), config.model
    row = MODELS.find(name, "`qhybrid models` describes them")
    model = {"name": name, "dim": own.dim}
    if own.variant in row.variants:
        model["variant"] = own.variant
    values: Values = config.model_dump(exclude_none=True, exclude={"model", "transfer"})
    training = {k: v for k, v in values["training"].items() if k not in _OF_THE_RUN}
    training["epochs"] = config.transfer.epochs or config.training.epochs
    if config.training.max_steps is not None:
        training["max_steps"] = config.training.max_steps
    try:
        return parse_config({**values, "model": model, "training": training})
    except RequestError as error:
        raise RequestError(f"transfer.model={name}: {error}") from error


def train_first(
    config: Config,
    train: Callable[..., Run],
    *,
    folder: Path | None,
    resumed: Run | None,
    console: "Console | None",
) -> Run:
    """Train the first stage, or what is left of it, and return the run that is to start from it.

    Args:
        config: Of the second stage.
        train: `qhybrid.training.train.train`.
        folder: The run's folder; None takes the usual one.
        resumed: The run, where it was begun.
        console: Where progress is shown; None shows nothing.

    Raises:
        RequestError: The first stage's model cannot be trained on the images.
        Interrupted: Ctrl-C or SIGTERM; the message says how to go on with the whole run.
        TrainingDiverged: The first stage's loss became infinite or NaN.
    """
    from qhybrid.training.session import build_session

    first, stem = first_stage(config), usual_name(config)
    if resumed is None:
        build_session(config).backend.close()  # what is wrong with the second stage is said now
    going_on = None if resumed is None else resumed.folder
    with occupied(folder, "training the run", root=RUNS, stem=stem, resumed=going_on) as path:
        run = Run(path)
        if not is_complete(run.pretrained, first):
            with _undone_if_nothing_began(run) if resumed is None else nullcontext():
                save_config(config, run.config_file)
                _train(first, run, train, console)
    second = f"{config.model.name}, from the weights of {first.model.name}"
    print_heading(console, f"stage 2 of 2: {second}")
    return run


def _train(first: Config, run: Run, train: Callable[..., Run], console: "Console | None") -> None:
    nested = run.pretrained
    print_heading(console, f"stage 1 of 2: {first.model.name}, {first.training.epochs} epochs")
    begun = nested.config_file.is_file()
    try:
        train(first, out=nested.folder, resume=begun, console=console)
    except (Interrupted, KeyboardInterrupt) as stop:
        step = nested.newest_step()
        name, at_once = nested.folder.name, getattr(stop, "at_once", True)
        raise Interrupted(step, run.folder, at_once=at_once, run=name) from stop


@contextmanager
def _undone_if_nothing_began(run: Run) -> Iterator[None]:
    """Leave no files behind where the request was wrong."""
    try:
        yield
    except RequestError:
        if not run.pretrained.config_file.is_file():
            run.config_file.unlink(missing_ok=True)
        raise
