import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from qhybrid.cli import main
from qhybrid.reproduction.experiment import experiment_names, read_experiment
from qhybrid.reproduction.plan import make_plan
from qhybrid.reproduction.request import ReproductionRequest, parse_datasets
from qhybrid.settings.sources import load_config
from qhybrid_circuits.errors import RequestError

SHORT = """
title = "T"
paper = "P"
config = "paper"
rows.a = { label = "a", settings.model.name = "unet" }
rows.b = { label = "b", start = { row = "a", epoch = 1 } }
[scales.small]
summary = "s"
time = "t"
seeds = 1
epoch_steps = 1.5
evaluation = { num_images = 100 }
[tables.1]
title = "Table 1"
dataset = "digits"
rows = ["b", "a"]
epochs = [1, 3]
published = [{ row = "a", epoch = 3, figures = { FID = 1.0 } }]
[[claims]]
text = "b is better"
table = "1"
first = ["b"]
second = ["a"]
figures = ["FID"]
epoch = 3
"""


def stand_ins(name: str) -> dict[str, str]:
    tables = read_experiment(name).tables.values()
    return {table.dataset: "digits" for table in tables}


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("scale", ["small", "paper"])
def test_every_row_that_comes_with_qhybrid_can_be_trained(name: str, scale: str) -> None:
    experiment = read_experiment(name)
    plan = make_plan(ReproductionRequest(name, scale=scale, datasets=stand_ins(name)))
    assert experiment.scales["small"].seeds >= 3
    rows = {(job.table, job.row) for job in plan.jobs}
    able = {
        (number, row)
        for number, table in experiment.tables.items()
        for row in table.rows
        if experiment.rows[row].missing is None
    }
    assert rows == able
    for job in plan.jobs:
        assert any(point.evaluated for point in job.points)
        for point in job.points:
            config = job.config(point.step)
            assert (config.training.seed, config.training.max_steps) == (job.seed, point.step)
        if job.source is not None:
            folders = [point.folder for other in plan.jobs for point in other.points]
            assert job.source in folders


def test_the_published_size_is_that_of_the_papers() -> None:
    """9,375 steps of De Falco et al., 19 + 1 epochs of which are transferred."""
    request = ReproductionRequest("defalco2024", scale="paper", tables=("2",), seeds=1)
    jobs = {job.row: job for job in make_plan(request).jobs}
    assert [point.epoch for point in jobs["classical"].points] == [1, 10, 19, 20]
    assert [point.evaluated for point in jobs["classical"].points] == [True, True, False, True]
    assert jobs["classical"].points[-1].step == 9375
    moved = [jobs["transfer19"].points[0].step, jobs["classical"].points[2].step]
    assert sum(moved) == 9375
    config = jobs["7hqconv"].config(9375)
    assert config.training.batch_size * 9375 == 20 * 60000
    assert config.diffusion == load_config("paper").diffusion


def test_the_mean_of_typed_figures_is_the_one_that_the_paper_prints() -> None:
    """Chen et al. print the mean over digits, which is typed nowhere here."""
    experiment = read_experiment("chen2025")
    printed = {"classical": (0.1085, 271.05), "quantum": (0.1263, 259.25)}
    for kind, means in printed.items():
        figures = [experiment.published("1", f"{kind}{digit}", 30) for digit in range(10)]
        found = [sum(each[name] for each in figures) / 10 for name in ("SSIM", "FID")]
        assert found == pytest.approx(means, abs=0.005)


def test_steps_of_epochs_add_up_and_starts_come_first(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text(SHORT)
    plan = make_plan(ReproductionRequest(str(tmp_path / "short.toml")))
    assert [job.row for job in plan.jobs] == ["a", "b"]
    before, after = plan.jobs
    assert [(p.epoch, p.step) for p in before.points] == [(1, 2), (3, 4)]
    assert [(p.epoch, p.step) for p in after.points] == [(3, 2)]
    assert after.source == before.points[0].folder
    only = make_plan(ReproductionRequest(str(tmp_path / "short.toml"), rows=("b",)))
    needed = {job.row: [(p.epoch, p.evaluated) for p in job.points] for job in only.jobs}
    assert needed == {"a": [(1, False)], "b": [(3, True)]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epoch_steps = 1.5", "epoch_steps = 0", "scales.small.epoch_steps: Input should be"),
        ("seeds = 1", "seeds = 1\nsedes = 1", "scales.small.sedes: Extra inputs"),
        ('row = "a", epoch = 1 }', 'row = "c", epoch = 1 }', "must be one of b, a, but is c"),
        ('rows = ["b", "a"]', 'rows = ["b", "c"]', "a row of table 1 must be one of a, b"),
        ('second = ["a"]', 'second = ["c"]', "a row of claim 'b is better' must be one of"),
        ('second = ["a"]', "", "must have either `second` or `at_most`"),
        ('second = ["a"]', 'second = ["a", "b"]', "as many rows in `first` as in `second`"),
        ('row = "a", epoch = 3', 'row = "a", epoch = 2', "must be one of 1, 3, but is 2"),
        ("num_images = 100", 'num_images = 100, features = "nose"', "unknown features 'nose'"),
        ('name = "unet"', 'name = "unot"', "table 1, row a: unknown model 'unot'"),
        ('config = "paper"', 'config = "newspaper"', "unknown configuration 'newspaper'"),
        ('rows.a = { label = "a",', 'rows.a = { label = "a", settings.nose.x = 1,', "unknown"),
        ('dataset = "digits"', 'dataset = "things"', "--dataset things=FILE.npz"),
        ('title = "T"', "title = ", "Invalid value"),
        (
            'settings.model.name = "unet" }',
            'settings.training.lr_schedule = "cosine" }',
            "need training.lr_schedule = constant",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    assert old in SHORT
    path = tmp_path / "short.toml"
    path.write_text(SHORT.replace(old, new))
    assert main(["reproduce", str(path), "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert said in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["defalco"], "unknown paper 'defalco'; did you mean defalco2024? known: capece"),
        (["nothing.toml"], "there is no experiments file 'nothing.toml'"),
        (["defalco2024", "--table", "7"], "unknown table '7'; known: 1, 2"),
        (["defalco2024", "--rows", "clasical"], "unknown row 'clasical'; did you mean classical"),
        (["defalco2024", "--scale", "tiny"], "unknown scale 'tiny'; known: small, paper"),
        (["defalco2024", "--seeds", "0"], "--seeds must be 1 to 1000, but is 0"),
        (["defalco2024", "--dataset", "digits"], "write --dataset fashion_mnist=digits"),
        (["defalco2024", "--dataset", "mnits=digits"], "unknown dataset 'mnits'; did you mean"),
        (["defalco2024", "--dataset", "mnist=gone.npz"], "dataset 'gone.npz' does not exist"),
        (["jo2026", "--show", "--out", "nowhere"], "there are no results in 'nowhere'"),
    ],
)
def test_wrong_requests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").touch()
    command = ["reproduce", "jo2026", "--dataset", "digits", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "is not empty, and has no results of a paper" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_listing_needs_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    for name in experiment_names():
        assert f'"{name}"' in printed


def test_a_file_alone_stands_for_the_one_data_set() -> None:
    request = ReproductionRequest("defalco2024", tables=("2",))
    assert parse_datasets(("digits",), request) == {"mnist": "digits"}
    named = ("mnist=digits", "fashion_mnist=digits")
    both = parse_datasets(named, replace(request, tables=()))
    assert both == {"mnist": "digits", "fashion_mnist": "digits"}
    with pytest.raises(RequestError, match="which data set"):
        parse_datasets(("digits",), replace(request, tables=()))


def test_the_files_are_plain_toml() -> None:
    folder = Path(__file__).parents[3] / "qhybrid" / "experiments"
    files = sorted(folder.glob("*.toml"))
    assert [path.stem for path in files] == list(experiment_names())
    for path in files:
        assert {"title", "scales", "rows", "tables"} <= tomllib.loads(path.read_text()).keys()
