import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit_ibm_runtime.fake_provider import FakeFez
from scipy import stats

from qhybrid.cli import main
from qhybrid.comparison.compare import Comparison, compare
from qhybrid.comparison.render import render
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import load_model
from qhybrid.report.build import build_report
from qhybrid.report.model_circuits import model_circuits, one_image
from qhybrid.report.request import ReportRequest
from qhybrid.report.subject import find_subject
from qhybrid.run_group import Group
from qhybrid.run_metrics import COLUMNS
from qhybrid.settings.sources import load_config
from qhybrid.training.seeds import train_seeds
from qhybrid_circuits.errors import UnknownNameError
from qhybrid_circuits.report.resource import resource_report
from qhybrid_runtime.health.model import model_health

SMALL: dict[str, Any] = {
    "data.limit": 40,
    "training.batch_size": 20,
    "training.epochs": 1,
    "training.log_every": 1,
    "training.device": "cpu",
    "sampling.steps": 1,
    "sampling.num_images": 1,
}
LOSSES = {"unet": (0.5, 0.52, 0.51), "1hqconv-qvunet": (0.4, 0.42, 0.44)}


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Two small groups, a classical and a hybrid one, with losses of our own.

    Most of the time goes into compiling the simulator's kernels, which other tests use too.
    """
    root = tmp_path_factory.mktemp("runs")
    for name, losses in LOSSES.items():
        settings = {**SMALL, "model.name": name, "model.dim": 2, "model.ansatz_layers": 1}
        if name == "unet":
            settings["training.learning_rate"] = 1e-3
        group = train_seeds(load_config(overrides=settings), seeds=3, out=root / name)
        for run, loss in zip(group.runs(), losses, strict=True):
            rows = [COLUMNS, (1, 1, 0.9, 0.1, 4), (2, 1, 2 * loss - 0.9, 0.1, 5)]
            text = "".join(",".join(map(str, row)) + "\n" for row in rows)
            run.metrics_file.write_text(text, encoding="utf-8")
    return tuple(root / name for name in LOSSES)


@pytest.fixture(scope="module")
def found(groups: tuple[Path, ...]) -> Comparison:
    return compare(groups, targets=["fake_fez"])


def no_constant(name: str) -> None:
    raise ValueError(name)


def test_values_intervals_and_verdicts_are_scipys(found: Comparison) -> None:
    content = json.loads(render(found, "json"), parse_constant=no_constant)
    (figure,) = content["figures"]
    for name, losses in LOSSES.items():
        spread = figure["models"][name]
        assert spread["values"] == pytest.approx(losses)
        interval = stats.t.interval(0.95, 2, np.mean(losses), stats.sem(losses))
        assert (spread["low"], spread["high"]) == pytest.approx(interval)
    (verdict,) = content["verdicts"]
    assert verdict["p"] == pytest.approx(stats.ttest_ind(*LOSSES.values(), equal_var=False).pvalue)
    assert (verdict["first"], verdict["second"]) == tuple(LOSSES)
    assert verdict["outcome"] == "worse"
    assert content["comparisons"] == 1
    assert content["settings"] == {"training.learning_rate": [1e-3, 6e-3]}
    (note,) = content["notes"]
    assert note.startswith("models differ in more than the model: training.learning_rate;")


def test_models_and_costs_are_those_of_reports(found: Comparison, groups: tuple[Path, ...]) -> None:
    classical, hybrid = found.content["models"]
    assert (classical["circuit_weights"], classical["circuit_influence"]) == (0, None)
    assert classical["costs"] == []
    run = Group(groups[1]).run(0)
    report = build_report(ReportRequest(str(run.folder), health=False)).content
    assert hybrid["parameters"] == report["subject"]["parameters"]
    model = load_model(run.folder).double()
    health = model_health(model, *one_image(model, read_spec(run.folder)))
    assert hybrid["circuit_weights"] == health.num_weights > 0
    assert hybrid["dead_weights"] == health.dead_weights
    record = json.loads((run.folder / "influence.json").read_text())
    assert hybrid["circuit_influence"]["values"][0] == record["influence"]["mean"]["output"] > 0
    (cost,) = hybrid["costs"]
    seconds = report["model"]["sampling"]["qpu_seconds_per_image"]
    assert cost["qpu_seconds_per_image"] == seconds > 0
    (use,) = model_circuits(find_subject(str(run.folder))).uses
    lowered = resource_report(use.variational, FakeFez().target, weights=use.weights, compare=False)
    assert cost["success_probability"] == pytest.approx(lowered.success_probability)


@pytest.mark.parametrize("output_format", ["table", "md", "html"])
def test_every_format_has_the_verdict(found: Comparison, output_format: Any) -> None:
    text = render(found, output_format)
    for part in ("worse", "98 % interval", "0.51", "fake_fez", "training.learning_rate", "2 %"):
        assert part in text, part


def test_the_page_needs_nothing_but_itself(found: Comparison) -> None:
    text = render(found, "html")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"']*""", text)
    assert "url(" not in text
    assert text.count("data:image/png;base64,") == 2


def test_one_seed_each_cannot_be_told(
    groups: tuple[Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(group / "seed-0") for group in groups]
    assert main(["compare", *runs]) == 0
    printed = capsys.readouterr().out
    assert "cannot be told" in printed
    assert "One seed does not show" in printed
    assert main(["compare", *runs, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out, parse_constant=no_constant)
    assert content["verdicts"][0]["low"] is None


def test_the_page_is_written_to_a_file(
    groups: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["compare", *map(str, groups), "--format", "html", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"comparison  {out}\n"
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "two models or more, but is given 1"),
        (["--num-images", "200"], "--num-images is for --evaluate"),
        (["--evaluate", "--num-images", "2"], "--num-images must be 100"),
        (["--evaluate", "--features", "incepton"], "did you mean inception"),
        (["--target", "fake_fes"], "did you mean fake_fez"),
        (["--target", "all"], "by their names"),
        (["--out", "/dev/null"], "'/dev/null' is a device"),
        (["--format", "pdf"], "'pdf'"),
    ],
)
def test_a_wrong_request_is_one_line(
    arguments: list[str],
    part: str,
    groups: tuple[Path, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compare", str(groups[0]), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert part in printed.err
    assert printed.err.count("\n") == 1


def test_unknown_targets_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        compare([tmp_path / "none"], targets=["fake_fes"])


def test_progress_is_told(groups: tuple[Path, ...]) -> None:
    told: list[str] = []
    tell: Callable[[str], None] = told.append
    compare(groups, progress=tell)
    assert told == ["circuits of unet", "circuits of 1hqconv-qvunet"]
