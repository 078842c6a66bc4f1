"""Runs of one model with different seeds, in the folder of a group."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qhybrid.files import check_links, user_path
from qhybrid.launcher import launched, layout
from qhybrid.printing import print_heading
from qhybrid.run_folder import RUNS, Run, newest_folder, usual_name
from qhybrid.run_group import Group, is_group
from qhybrid.run_lock import occupied
from qhybrid.settings.config import Config
from qhybrid.settings.sources import merge_values, parse_config, save_config
from qhybrid.training.completion import is_complete
from qhybrid.training.outcome import Interrupted, TrainingDiverged, agreed
from qhybrid.training.several import check_several
from qhybrid.training.side_by_side import SideBySide
from qhybrid.training.train import check_resumable, check_sources, train
from qhybrid_circuits.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

    from qhybrid.training.device import ConfirmSeconds

MOST_SEEDS = 1000

Launcher = Literal["local", "ray"]


def train_seeds(
    config: Config | None = None,
    *,
    seeds: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    jobs: int | None = None,
    launcher: Launcher = "local",
    console: "Console | None" = None,
    note: str | None = None,
    confirm: "ConfirmSeconds | None" = None,
) -> Group:
    """Train a model with several seeds: `training.seed` and those that follow it.

    Each run is as `train` makes it, in its own folder. A group that is resumed skips runs that are
    finished, continues the others and starts those that are missing; it can get more seeds.

    Args:
        config: What to train; None is the default, or the saved one where a group is resumed.
        seeds: How many; None takes those that a group has which is resumed.
        out: The group's folder; None takes `runs/MODEL-DATASET-N`, or the newest group to resume.
        resume: Continue the group in the folder instead of starting one.
        jobs: How many runs are trained at a time, each in a process that has its share of the
            cores; with 1, or where omitted, they are trained in turn, in this process.
        launcher: `ray` trains on the machines of a Ray cluster, one run on each where `jobs` is
            omitted; see `qhybrid.training.on_ray`.
        console: Where progress is shown; None shows nothing.
        note: A line that is shown at the start.
        confirm: As `train` takes it, for runs in turn; of those side by side, each is refused where
            it would be asked, unless this is `agreed`.

    Raises:
        RequestError: The request is wrong.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
        TrainingDiverged: The loss of a run became infinite or NaN; the others were trained.
    """
    for name, count in (("seeds", seeds), ("jobs", jobs)):
        if count is not None and not 1 <= count <= MOST_SEEDS:
            raise RequestError(f"--{name} must be 1 to {MOST_SEEDS:,}, but is {count}")
    folder = None if out is None else user_path(out)
    group = None
    if resume:
        group = open_group(folder or newest_folder())
        check_links(group.folder)
        saved = group.config()
        config = config or saved
        check_resumable(saved, config, group.folder)
    config = config or Config()
    wanted = _seeds(config.training.seed, seeds, group)
    configs = [with_seed(config, seed) for seed in wanted]
    check_sources(config, resumed=False)
    _check_processes(config, jobs, launcher)
    stem, going_on = usual_name(config), None if group is None else group.folder
    doing = "training the group"
    with occupied(folder, doing, root=RUNS, stem=stem, resumed=going_on) as claimed:
        group = Group(claimed)
        with nullcontext() if resume else _undone_if_nothing_began(group):
            # The file last: a group that can be resumed has all of its seeds.
            for seed in wanted:
                group.run(seed).folder.mkdir(exist_ok=True)
            save_config(config, group.config_file)
            if note is not None:
                print_heading(console, f"note: {note}")
            _train(group, configs, jobs, launcher, console, confirm)
    if console is not None:
        from qhybrid.printing import print_lines

        following = f"qhybrid compare {shlex.quote(str(group.folder))} OTHER"
        print_lines(console, {"group": str(group.folder), "next": following})
    return group


def open_group(folder: Path) -> Group:
    """The group in a folder.

    Raises:
        RequestError: There is none in it.
    """
    folder = user_path(folder)
    if not is_group(folder):
        what = "is one run" if Run(folder).config_file.is_file() else "has no group of runs"
        raise RequestError(
            f"'{folder}' {what}, so that it cannot go on with several seeds; start a group with "
            "`qhybrid train --seeds N`, without --resume"
        )
    return Group(folder)


def with_seed(config: Config, seed: int) -> Config:
    """The configuration with another seed.

    Raises:
        RequestError: The seed is too large.
    """
    values = config.model_dump(exclude_none=True)
    return parse_config(merge_values(values, {"training": {"seed": seed}}))


def _check_processes(config: Config, jobs: int | None, launcher: Launcher) -> None:
    """Refuse several runs at a time that have several processes each."""
    found, training = launched(), config.training
    if found is not None or (training.nodes or 1) > 1:
        started = "--nodes" if found is None else found.program
        raise RequestError(
            f"--seeds starts the processes of each run by itself; leave {started} out, give "
            "--devices N, or start each run alone with --seed"
        )
    check_several(config, layout(training.devices, training.nodes))
    several = "--launcher ray" if launcher == "ray" else f"--jobs {jobs}"
    if (training.devices or 1) > 1 and (launcher == "ray" or (jobs or 1) > 1):
        raise RequestError(
            f"{several} trains runs at a time, but each has all --devices {training.devices}; "
            "leave one of the two out"
        )


def _seeds(first: int, count: int | None, group: Group | None) -> list[int]:
    known = [] if group is None else group.seeds()
    if count is not None and group is not None and count < len(known):
        raise RequestError(
            f"'{group.folder}' has {len(known)} seeds already, more than --seeds {count}; leave "
            "it out, or give more"
        )
    wanted = range(first, first + count) if count is not None else ()
    return sorted({*known, *wanted}) or [first]


def _train(
    group: Group,
    configs: list[Config],
    jobs: int | None,
    launcher: Launcher,
    console: "Console | None",
    confirm: "ConfirmSeconds | None",
) -> None:
    left = []
    for config in configs:
        run = group.run(config.training.seed)
        if run.config_file.is_file() and is_complete(run, config):
            print_heading(console, f"{run.folder} is finished")
        else:
            left.append(config)
    if not left:
        raise RequestError(
            f"all {len(configs)} runs in '{group.folder}' have done all of their steps; give more "
            f"--epochs, or --seeds N with N above {len(configs)}"
        )
    runs = [group.run(each.training.seed) for each in left]
    devices = left[0].training.devices or 1
    if launcher == "ray":
        from qhybrid.training.on_ray import OnRay

        gpu = left[0].training.device != "cpu"
        OnRay(group, jobs, console, gpu=gpu).train(runs, yes=confirm is agreed)
    elif jobs in (None, 1) and devices == 1:
        _train_in_turn(group, left, console, confirm)
    else:
        SideBySide(group, jobs or 1, console, devices).train(runs, yes=confirm is agreed)


def _train_in_turn(
    group: Group,
    configs: list[Config],
    console: "Console | None",
    confirm: "ConfirmSeconds | None",
) -> None:
    failures = []
    for number, config in enumerate(configs, start=1):
        run = group.run(config.training.seed)
        print_heading(console, f"run {number} of {len(configs)}: seed {config.training.seed}")
        try:
            with _of_group(group, run):
                going_on = run.config_file.is_file()
                train(config, out=run.folder, resume=going_on, console=console, confirm=confirm)
        except TrainingDiverged as error:
            failures.append(error)
            print_heading(console, f"{run.folder}: {error}")
    if failures:
        raise failures[0]


@contextmanager
def _of_group(group: Group, run: Run) -> Iterator[None]:
    """Say how to go on with the group where a run is interrupted."""
    try:
        yield
    except Interrupted as stop:
        name, at_once = run.folder.name, stop.at_once
        raise Interrupted(stop.step, group.folder, at_once=at_once, run=name) from stop
    except KeyboardInterrupt as stop:  # before the first step
        step = run.newest_step()
        raise Interrupted(step, group.folder, at_once=True, run=run.folder.name) from stop


@contextmanager
def _undone_if_nothing_began(group: Group) -> Iterator[None]:
    """Leave no files behind where the request was wrong."""
    try:
        yield
    except RequestError:
        if not group.runs():
            with suppress(OSError):
                for seed in group.seeds():
                    group.run(seed).folder.rmdir()
                group.config_file.unlink()
        raise
