import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_ind

from qhybrid.cli import main
from qhybrid.reproduction import execute
from qhybrid.run_folder import Run
from qhybrid.sampling.parts import Artist
from qhybrid.settings.config import Config
from qhybrid.training.train import train

TINY = Path(__file__).with_name("tiny.toml").read_text()

POINTS = [("classical", 1), ("classical", 2), ("classical", 3), ("moved", 3)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def begun_at() -> list[int]:
    """The steps at which the trainings of `whole` began."""
    return []


@pytest.fixture(scope="module")
def whole(tiny: Path, begun_at: list[int]) -> Path:
    """Results that were never interrupted."""
    out = tiny.parent / "whole"

    def record(config: Config, *, out: Path, **options: Any) -> None:
        begun_at.append(Run(out).newest_step())
        train(config, out=out, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "train", record)
        assert main(["reproduce", str(tiny), "--out", str(out)]) == 0
    return out


def point(results: Path, row: str, epoch: int, seed: int) -> Path:
    return results / "table-1" / row / f"seed-{seed}" / f"epoch-{epoch:03d}"


def weights(results: Path, seed: int) -> Iterator[bytes]:
    for row, epoch in POINTS:
        yield Run(point(results, row, epoch, seed)).model_file.read_bytes()


def values(results: Path) -> list[float]:
    """Return all figures of the first seed."""
    return [
        figure["values"][0]
        for row in found(results)["tables"][0]["rows"][:2]
        for point in row["points"]
        for figure in point["figures"].values()
    ]


def found(results: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((results / "results.json").read_text())
    return content


def values_by_hand(results: Path, row: str, figure: str) -> list[float]:
    """Read what `qhybrid evaluate` wrote, and the log of training, with nothing of this package."""
    read = []
    for seed in (0, 1):
        folder = point(results, row, 3, seed)
        if figure == "loss":
            lines = (folder.parent / "metrics.csv").read_text().splitlines()
            read.append(float(lines[-1].split(",")[2]))  # a tenth of 6 steps is the last
            continue
        figures = json.loads((folder / "evaluation" / "evaluation.json").read_text())["figures"]
        read += [each["value"] for each in figures if each["name"] == f"classifier-{figure}"]
    return read


def test_figures_stand_beside_the_papers(whole: Path) -> None:
    table = found(whole)["tables"][0]
    rows = {row["row"]: row for row in table["rows"]}
    assert list(rows) == ["moved", "classical", "absent"]
    assert [each["epoch"] for each in rows["classical"]["points"]] == [1, 3]
    assert [each["epoch"] for each in rows["moved"]["points"]] == [3]
    for name, published in (("classical", 45.25), ("moved", 41.75)):
        last = rows[name]["points"][-1]
        fid = last["figures"]["FID"]
        expected = values_by_hand(whole, name, "FID")
        assert fid["name"] == "classifier-FID"
        assert (fid["published"], fid["values"]) == (published, expected)
        assert fid["mean"] == pytest.approx(np.mean(expected))
        assert last["figures"]["loss"]["values"] == values_by_hand(whole, name, "loss")
        assert last["seeds"] == 2
    assert rows["absent"]["points"][0]["seeds"] == 0
    assert (table["dataset"], table["stand_in"]) == ("digits", None)


def test_parameters_are_those_of_the_model(whole: Path) -> None:
    from qhybrid import load_model

    for row in found(whole)["tables"][0]["rows"][:2]:
        model = load_model(point(whole, row["row"], 3, 0))
        count = sum(parameter.numel() for parameter in model.parameters())
        assert row["points"][-1]["figures"]["parameters"]["values"] == [count, count]


def test_claims_are_judged_by_welchs_test(whole: Path) -> None:
    by_figure = {(c["text"], c["figure"]): c for c in found(whole)["claims"]}
    for figure, shown in (("FID", "classifier-FID"), ("loss", "loss")):
        claim = by_figure["moved is better", shown]
        sides = [values_by_hand(whole, row, figure) for row in ("moved", "classical")]
        p = float(ttest_ind(*sides, equal_var=False).pvalue)
        assert claim["p"] == pytest.approx(p)
        expected = "cannot be told at this scale"
        if p < found(whole)["level"]:
            better = np.mean(sides[0]) < np.mean(sides[1])
            expected = "holds here" if better else "does not hold here"
        assert claim["verdict"] == expected
    assert by_figure["moved is better", "classifier-FID"]["published"] == [41.75, 45.25]
    # Of two seeds with losses near 1, the interval cannot reach a million.
    assert by_figure["both are better than nothing", "loss"]["verdict"] == "holds here"
    missed = by_figure["nothing is missed", "classifier-FID"]
    assert (missed["verdict"], missed["why"]) == ("not run", "there is no such model")


def test_a_run_that_is_moved_starts_from_the_same_seed(whole: Path) -> None:
    for seed in (0, 1):
        folder = point(whole, "moved", 3, seed).parent
        record = json.loads((folder / "transfer.json").read_text())
        assert record["source"] == str(point(whole, "classical", 2, seed))


def test_a_run_goes_on_from_where_it_was_evaluated(whole: Path, begun_at: list[int]) -> None:
    classical, moved = [0, 2, 4], [0]
    assert sorted(begun_at) == sorted(2 * (classical + moved)), "of two seeds"


def test_what_is_done_is_not_done_again(
    tiny: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("this was done already")

    for name in ("train", "evaluate", "measure"):
        monkeypatch.setattr(execute, name, refuse)
    for output_format in ("json", "md", "html", "table"):
        command = ["reproduce", str(tiny), "--out", str(whole), "--format", output_format]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert "moved is better" in printed
        if output_format == "json":
            assert json.loads(printed) == found(whole)
        assert main([*command, "--show"]) == 0
        assert capsys.readouterr().out == printed
    moved = shutil.copytree(whole, tmp_path / "moved")
    assert main(["reproduce", str(tiny), "--out", str(moved)]) == 0


def test_the_printed_commands_do_the_same(
    tiny: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--rows", "classical", "--seeds", "1", "--out", str(tmp_path / "by hand")]
    assert main(["reproduce", str(tiny), *asked, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not (tmp_path / "by hand").exists()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("qhybrid train")]
    assert len(commands) == 2
    for command in commands:
        assert main(command) == 0
    by_hand = point(tmp_path / "by hand", "classical", 3, 0).parent
    expected = Run(point(whole, "classical", 3, 0)).model_file.read_bytes()
    assert Run(by_hand).model_file.read_bytes() == expected


def test_the_page_needs_nothing_but_itself(whole: Path) -> None:
    page = (whole / "results.html").read_text()
    # Three grids and the forward diffusion.
    assert page.count("data:image/png;base64,") == 4
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "cannot be compared" not in page
    assert "only their order can be compared" in page
    with Image.open(point(whole, "moved", 3, 0) / "grid.png") as grid:
        assert grid.width == grid.height


@pytest.mark.thorough
def test_an_interruption_loses_nothing(
    tiny: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, trained = tmp_path / "out", [0]
    command = ["reproduce", str(tiny), "--out", str(out), "--seeds", "1"]

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    def counted(*arguments: Any, **options: Any) -> Any:
        if trained[0] == 2:
            raise KeyboardInterrupt
        trained[0] += 1
        return train(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(execute, "evaluate", interrupted)
        assert main(command) == 130
    assert "0 of 3 evaluations are done; the same command goes on" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(Artist, "draw", interrupted)
        assert main(command) == 130
    said = capsys.readouterr().err
    assert "0 of 3 evaluations are done; the same command goes on" in said
    assert "--resume" not in said
    monkeypatch.setattr(execute, "train", counted)
    assert main(command) == 130
    assert "2 of 3 evaluations are done" in capsys.readouterr().err
    assert "2 of 3 evaluations are done" in (out / "results.html").read_text()
    trained[0] = -10
    assert main(command) == 0
    # One of the four points was reached before the first interruption, three before the second.
    assert trained[0] == -10 + 1
    assert list(weights(out, 0)) == list(weights(whole, 0))
    assert values(out) == pytest.approx(values(whole), rel=1e-6)


@pytest.mark.thorough
def test_a_run_that_diverges_stops_no_other(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    moved = 'name = "1fqconv-qvunet"\n'
    assert moved in TINY
    bad.write_text(TINY.replace(moved, f"{moved}settings.training.learning_rate = 1e3\n"))
    out = tmp_path / "out"
    command = ["reproduce", str(bad), "--out", str(out), "--seeds", "1"]
    assert main(command) == 1
    printed = capsys.readouterr().err
    assert "1 of 2 runs are not done" in printed
    assert "table 1, moved, seed 0; all others are in" in printed
    assert found(out)["evaluations"] == {"done": 2, "planned": 3}
    assert found(out)["claims"][0]["verdict"] == "not run"


@pytest.mark.thorough
def test_a_killed_process_loses_nothing(tiny: Path, whole: Path, tmp_path: Path) -> None:
    """Seconds, since a process of its own loads torch and is killed at work."""
    out = tmp_path / "out"
    arguments = ["reproduce", str(tiny), "--out", str(out), "--seeds", "1"]
    command = [sys.executable, "-m", "qhybrid", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (point(out, "classical", 2, 0) / "model.safetensors").exists():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert main(arguments) == 0
    assert list(weights(out, 0)) == list(weights(whole, 0))
    # Processes may add up features in another order.
    assert values(out) == pytest.approx(values(whole), rel=1e-6)


def test_other_settings_are_not_mixed_in(
    tiny: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for old, new, said in (
        ("limit = 200", "limit = 201", "data.limit is 200 in the run"),
        ("A tiny paper", "Another", "has results of 'A tiny paper' at scale small"),
    ):
        other = tmp_path / "tiny.toml"
        other.write_text(TINY.replace(old, new))
        assert main(["reproduce", str(other), "--out", str(whole)]) == 2
        printed = capsys.readouterr().err
        assert said in printed
        assert "--out" in printed
