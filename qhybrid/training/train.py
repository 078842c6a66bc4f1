"""The way into training: everything that can be refused is refused before torch is imported."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from qhybrid.data.catalog import resolve_dataset
from qhybrid.evaluation.features import check_features
from qhybrid.evaluation.names import check_best, check_figures
from qhybrid.files import check_links, user_path
from qhybrid.kernels.beside import compiled_beside, needed
from qhybrid.launcher import launched, layout
from qhybrid.models.rows import MODELS
from qhybrid.run_folder import Run, check_free, newest_folder, open_run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import Values, flatten, merge_values, parse_config
from qhybrid.settings.trackers import check_tracker
from qhybrid.training.several import check_several
from qhybrid.training.stages import first_stage, train_first
from qhybrid.training.transfer_record import source_run
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.registry import check_backend_name

if TYPE_CHECKING:
    from rich.console import Console

    from qhybrid.training.device import ConfirmSeconds

CHANGEABLE = frozenset(
    {
        "training.epochs",
        "training.max_steps",
        "training.device",
        "training.devices",
        "training.nodes",
        "training.workers",
        "training.checkpoint_every",
        "training.keep_checkpoints",
        "quantum.max_qpu_seconds",
        "training.keep_epochs",
        "training.log_every",
        "training.tracker",
        "sampling.sampler",
        "sampling.steps",
        "sampling.num_images",
        "evaluation.every",
        "evaluation.images",
        "evaluation.features",
        "evaluation.figures",
        "evaluation.best",
    }
)
"""Keys that a resumed run may change: those that do not touch the steps already done."""


def train(
    config: Config | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    console: "Console | None" = None,
    note: str | None = None,
    confirm: "ConfirmSeconds | None" = None,
) -> Run:
    """Train a model and leave everything about it in a run folder.

    A resumed run continues at the exact step of its newest checkpoint and ends with the weights
    that an uninterrupted run has. More epochs than before extend it; the cosine schedule is then
    that of the longer run, so the learning rate rises again where the shorter run had ended.

    Args:
        config: What to train; None is the default, or the saved one where a run is resumed.
        out: The run's folder; None takes `runs/MODEL-DATASET-N`, or the newest run to resume.
        resume: Continue the run in the folder instead of starting one.
        console: Where progress is shown; None shows nothing.
        note: A line that is shown at the start.
        confirm: Asked before more than a minute of QPU time is spent on noise; without it that is
            refused.

    Raises:
        RequestError: The request is wrong, e.g. the folder holds a run already.
        QpuLimitError: The QPU time was not agreed to, or exceeds the limit that was set.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
        TrainingDiverged: The loss became infinite or NaN.

    Example:
        >>> import qhybrid
        >>> quick = {"model.name": "unet", "model.dim": 8, "training.max_steps": 1}
        >>> quick |= {"sampling.num_images": 1, "sampling.steps": 1}
        >>> config = qhybrid.load_config(overrides=quick)
        >>> run = qhybrid.train(config, out="runs/quick")
        >>> (run.folder / "model.safetensors").exists()
        True
    """
    folder = None if out is None else user_path(out)
    run = None
    if resume:
        run = open_run(newest_folder() if folder is None else folder)
        check_links(run.folder)
        saved = run.config()
        config = config or resumed_config(saved, {})
        check_resumable(saved, config, run.folder)
    config = config or Config()
    several = layout(config.training.devices, config.training.nodes)
    if folder is not None and not resume and several.first:
        check_free(folder)
    check_sources(config, resumed=run is not None)
    check_several(config, several)
    if several.size > 1:
        # Before torch is imported, whose remarks on other processes come from all of them.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not several.first:
        from qhybrid.training.fitting import follow

        follow(config, several)
        return Run(Path() if folder is None else folder)
    with compiled_beside(_kernels(config)):
        with nullcontext() if console is None else console.status("loading torch and lightning"):
            from qhybrid.training.run_training import run_training

        if config.transfer.model is not None:
            run = train_first(config, train, folder=folder, resumed=run, console=console)
        return run_training(
            config,
            folder=folder,
            resumed=run,
            console=console,
            note=note,
            layout=several,
            confirm=confirm,
        )


def _kernels(config: Config) -> list[str]:
    size = config.data.image_size or resolve_dataset(config.data.dataset).info.image_size
    row, backend = MODELS[config.model.name], config.quantum.backend
    return needed(row, size, config.training.device, backend)


def _check_evaluation(config: Config) -> None:
    """Refuse figures that cannot be measured while the run is trained."""
    section, backend = config.evaluation, config.quantum.backend
    check_features(section.features)
    check_figures(section.figures)
    check_best(section.best, section.figures)
    if section.every and check_backend_name(backend).runs_jobs:
        raise RequestError(
            f"--evaluate-every draws many images, but every round on the backend '{backend}' is a "
            "job; leave it out, and evaluate images of `qhybrid sample`"
        )


def check_sources(config: Config, *, resumed: bool) -> None:
    """Refuse images, and a run to start from, that do not exist, and figures that cannot be had.

    Raises:
        RequestError: There is something of the kind.
    """
    resolve_dataset(config.data.dataset)
    check_tracker(config.training.tracker)
    _check_evaluation(config)
    if config.transfer.init_from is not None and not resumed:
        source_run(config.transfer.init_from)
    if config.transfer.model is not None:
        first_stage(config)


def resumed_config(saved: Config, requested: Values) -> Config:
    """Return a saved configuration with the values that were asked for over it.

    Where a launcher started the processes, it has the last word on their number.

    Raises:
        RequestError: A value is not allowed.
    """
    values = saved.model_dump(exclude_none=True)
    for key in ("devices", "nodes") if launched() else ():
        values["training"].pop(key, None)
    return parse_config(merge_values(values, requested))


def check_resumable(saved: Config, config: Config, folder: Path) -> None:
    """Refuse to continue a run, or a group of runs, as another one.

    Raises:
        RequestError: A key differs that the steps already done depend on.
    """
    before, now = flatten(saved.model_dump()), flatten(config.model_dump())
    for key, value in before.items():
        if now[key] != value and key not in CHANGEABLE:
            raise RequestError(
                f"{key} is {_shown(value)} in the run '{folder}' and cannot become "
                f"{_shown(now[key])} on resuming; leave it as it is, or start a new run without "
                "--resume"
            )


def _shown(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 8:
        return f"a list of {len(value)} from {value[0]} to {value[-1]}"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return "unset" if value is None else str(value)
