"""Which runs are seeds of which model; imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhybrid.files import user_path
from qhybrid.run_folder import Run, open_run
from qhybrid.run_group import Group, is_group
from qhybrid.settings.config import Config
from qhybrid.settings.sources import flatten
from qhybrid_circuits.errors import RequestError

WITHOUT_EFFECT = frozenset(
    {
        "training.seed",
        "training.device",
        "training.devices",
        "training.nodes",
        "training.workers",
        "training.checkpoint_every",
        "training.keep_checkpoints",
        "training.log_every",
        "training.tracker",
    }
)
"""Keys in which seeds of one model may differ: none of them changes what is trained."""


@dataclass(frozen=True)
class SeedRun:
    """A finished run.

    Attributes:
        run: The run.
        config: Its configuration.
    """

    run: Run
    config: Config

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.config.training.seed


@dataclass(frozen=True)
class Model:
    """One thing that is compared: runs whose configurations differ in the seed alone.

    Attributes:
        name: Different from that of the other models that it is compared with.
        seeds: Its runs, by their seeds.
    """

    name: str
    seeds: tuple[SeedRun, ...]

    @property
    def config(self) -> Config:
        """The configuration of its first run."""
        return self.seeds[0].config

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value of what the model was trained with."""
        return settings_of(self.config)


def settings_of(config: Config) -> dict[str, Any]:
    """Return dotted key -> value, without keys that change nothing, or the seed alone."""
    values = flatten(config.model_dump())
    return {key: value for key, value in values.items() if key not in WITHOUT_EFFECT}


def find_models(paths: Sequence[Path | str]) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """Return the models of runs, groups and folders of them, and notes on runs that are left out.

    A group is one model. Runs named otherwise are seeds of one model where their configurations
    differ in the seed alone.

    Raises:
        RequestError: There is no run, or fewer than two models.
    """
    found: dict[tuple[Path | None, str], list[SeedRun]] = {}
    notes, seen = [], set()
    for path in paths:
        for run in _runs(user_path(path)):
            place = run.folder.resolve()
            if place in seen:
                continue
            seen.add(place)
            config = run.config()
            if not run.is_finished(config):
                folder = run.folder.parent if is_group(run.folder.parent) else run.folder
                notes.append(
                    f"'{run.folder}' is left out: it is not finished; continue it with `qhybrid "
                    f"train --resume --out {folder}`"
                )
                continue
            group = place.parent if is_group(place.parent) else None
            runs = found.setdefault((group, repr(settings_of(config))), [])
            same = [each for each in runs if each.seed == config.training.seed]
            if same:
                notes.append(
                    f"'{run.folder}' is left out: its settings and seed are those of "
                    f"'{same[0].run.folder}'"
                )
                continue
            runs.append(SeedRun(run, config))
    if len(found) < 2:
        told = "".join(f"; {note}" for note in notes)
        raise RequestError(
            f"compare needs two models or more, but is given {len(found)}{told}; name runs or "
            "groups of runs whose settings differ"
        )
    seeds = [sorted(runs, key=lambda each: each.seed) for runs in found.values()]
    names = _names(seeds)
    return tuple(map(Model, names, map(tuple, seeds))), tuple(notes)


def differing(models: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return dotted key -> values, one per model, of the settings that differ."""
    table = {key: [each[key] for each in models] for key in models[0]}
    return {key: values for key, values in table.items() if any(v != values[0] for v in values)}


def _runs(folder: Path) -> list[Run]:
    """Return the runs that a path names.

    Raises:
        RequestError: There is none.
    """
    if is_group(folder):
        runs = Group(folder).runs()
        if not runs:
            raise RequestError(
                f"no run of '{folder}' was begun; start them with `qhybrid train --resume --out "
                f"{folder}`"
            )
        return runs
    if (folder / "config.toml").is_file() or not folder.is_dir():
        return [open_run(folder)]
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    runs = [
        run
        for path in inside
        if is_group(path) or (path / "config.toml").is_file()
        for run in (Group(path).runs() if is_group(path) else [Run(path)])
    ]
    return runs or [open_run(folder)]


def _names(models: Sequence[Sequence[SeedRun]]) -> list[str]:
    """Return a name per model: its network's, what differs from others of it, and its folder."""
    names = []
    for seeds in models:
        network = seeds[0].config.model.name
        alike = [each for each in models if each[0].config.model.name == network]
        changed = differing([settings_of(each[0].config) for each in alike])
        own = settings_of(seeds[0].config)
        parts = [f"{key.partition('.')[2]}={own[key]}" for key in changed]
        names.append(" ".join([network, *parts[:3]]))
    folders = [_folder(seeds) for seeds in models]
    return [
        f"{name} ({folder})" if names.count(name) > 1 else name
        for name, folder in zip(names, folders, strict=True)
    ]


def _folder(seeds: Sequence[SeedRun]) -> Path:
    folder = seeds[0].run.folder
    return folder.parent if is_group(folder.parent) else folder
