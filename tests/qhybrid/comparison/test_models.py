from collections.abc import Callable
from pathlib import Path

import pytest

from qhybrid.comparison.models import find_models
from qhybrid.run_folder import Run
from qhybrid_circuits.errors import RequestError

MakeRun = Callable[..., Run]


def make_group(make_run: MakeRun, name: str, seeds: int = 2, **settings: object) -> Path:
    runs = [make_run(f"{name}/seed-{n}", training__seed=n, **settings) for n in range(seeds)]
    folder = runs[0].folder.parent
    (folder / "group.toml").write_bytes(runs[0].config_file.read_bytes())
    return folder


def found(*paths: Path) -> dict[str, list[int]]:
    models, _ = find_models(paths)
    return {model.name: [each.seed for each in model.seeds] for model in models}


def test_a_group_is_a_model(make_run: MakeRun) -> None:
    groups = [make_group(make_run, name, model__name=name) for name in ("unet", "light-unet")]
    assert found(*groups) == {"unet": [0, 1], "light-unet": [0, 1]}


def test_runs_that_differ_in_the_seed_alone_are_one_model(make_run: MakeRun) -> None:
    runs = [
        make_run("a", training__seed=7),
        make_run("b", training__seed=2, training__workers=1),
        make_run("c", model__name="unet"),
    ]
    assert found(*(run.folder for run in runs)) == {"1hqconv-qvunet": [2, 7], "unet": [0]}


def test_a_folder_of_runs_and_groups_stands_for_them(make_run: MakeRun, tmp_path: Path) -> None:
    make_group(make_run, "group")
    make_run("other", model__name="unet")
    (tmp_path / "something").mkdir()
    assert found(tmp_path) == {"1hqconv-qvunet": [0, 1], "unet": [0]}


def test_names_say_what_differs(make_run: MakeRun) -> None:
    groups = [
        make_group(make_run, "a", model__name="unet", model__dim=8),
        make_group(make_run, "b", model__name="unet", model__dim=4),
        make_group(make_run, "c", model__name="unet", model__dim=4),
        make_group(make_run, "d"),
    ]
    assert list(found(*groups)) == [
        "unet dim=8",
        f"unet dim=4 ({groups[1]})",
        f"unet dim=4 ({groups[2]})",
        "1hqconv-qvunet",
    ]


def test_what_would_count_twice_or_is_not_finished_is_left_out(make_run: MakeRun) -> None:
    runs = [
        make_run("a"),
        make_run("again"),
        make_run("cut", training__seed=5, finished=False),
        make_run("short", training__seed=6, training__max_steps=30, finished=False),
        make_run("other", model__name="unet"),
    ]
    paths = [run.folder for run in (*runs, runs[0])]
    models, notes = find_models(paths)
    assert [[each.seed for each in model.seeds] for model in models] == [[0], [0]]
    assert len(notes) == 3
    assert f"'{runs[1].folder}' is left out: its settings and seed are those of" in notes[0]
    assert f"--resume --out {runs[2].folder}" in notes[1]
    assert f"--resume --out {runs[3].folder}" in notes[2]


def test_a_run_that_was_stopped_by_a_limit_is_finished(make_run: MakeRun) -> None:
    run = make_run("a", training__max_steps=15, finished=False)
    run.checkpoints.mkdir()
    run.checkpoint(15).touch()
    other = make_run("other", model__name="unet")
    assert len(found(run.folder, other.folder)) == 2


def test_fewer_than_two_models_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    group = make_group(make_run, "group")
    cut = make_run("cut", model__name="unet", finished=False)
    with pytest.raises(RequestError, match=r"needs two models or more, but is given 1; name"):
        find_models([group])
    with pytest.raises(RequestError, match=r"given 1; '.*cut' is left out: it is not finished"):
        find_models([group, cut.folder])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=r"no config\.toml"):
        find_models([group, tmp_path / "empty"])
    with pytest.raises(RequestError, match="there is no folder"):
        find_models([group, tmp_path / "none"])
    for run in group.glob("seed-*/config.toml"):
        run.unlink()
    with pytest.raises(RequestError, match=r"no run of .* was begun"):
        find_models([group, cut.folder])
