import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from qhybrid.models.catalog import catalog
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import HYBRIDS_WITH_CONTROL

DOCS = Path(__file__).parents[2] / "docs"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.setattr("qhybrid.training.influence.IMAGES", 8)
    return importlib.import_module(name)


def test_the_table_of_models_goes_on_where_it_was_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The hybrid is measured, its twin was before."""
    file, name = tmp_path / "measured.jsonl", "1fqconv-qvunet"
    change = {"output": 0.25, "loss": -0.5}
    known = {"model": name + CONTROL, "seed": 0, "steps": 1}
    known |= dict.fromkeys(("mean", "shuffled", "random", "zero"), change)
    file.write_text(json.dumps(known) + "\n")
    arguments = [str(file), "--steps", "1", "--seeds", "1", "--models", name]
    script("measure_influence", monkeypatch).main(arguments)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        f"| `{model}`" for model in (name, name, name + CONTROL, name + CONTROL)
    ]
    assert "2.5e-01 (2.5e-01 to 2.5e-01)" in lines[2]
    assert "-50.000 (-50.000 to -50.000)" in lines[3]
    measured = json.loads(file.read_text().splitlines()[1])
    assert 1e-6 < measured["mean"]["output"] < 1e-2


def test_a_changed_network_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its vertex is of 4x4, it predicts images, and circuits change less than the whole vertex."""
    study, file = script("study_influence", monkeypatch), tmp_path / "measured.jsonl"
    name = "gain_at_4x4_image"
    study.main(["changes", str(file), "--steps", "1", "--seeds", "1", "--only", name])
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"| {name} | ")
    found = json.loads(file.read_text())
    assert 0 < found["mean"]["output"] < found["vertex"]["output"] < 1
    assert 0 < found["error"] < 4


def test_listings_have_the_figures_of_the_table() -> None:
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w-]+)` \| output \| (\S+) \(", text, re.MULTILINE))
    listed = {entry["name"]: entry["influence"] for entry in catalog()}
    assert set(told) == {name + end for name in HYBRIDS_WITH_CONTROL for end in ("", CONTROL)}
    assert {name: listed[name] for name in told} == {name: float(told[name]) for name in told}
    assert not [name for name in listed if name not in told and listed[name] is not None]
