from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from qhybrid.data.catalog import DATASETS
from qhybrid.diffusion.samplers import SAMPLERS
from qhybrid.models.rows import MODELS
from qhybrid_circuits.errors import RequestError, UnknownNameError
from qhybrid_circuits.plugins import Registry
from qhybrid_runtime.backends.registry import check_backend_name


@dataclass(frozen=True)
class Row:
    name: str
    value: Any = None


def registry(monkeypatch: pytest.MonkeyPatch, **points: str) -> Registry[Row]:
    found = [EntryPoint(name, value, "tests.rows") for name, value in points.items()]
    monkeypatch.setattr("qhybrid_circuits.plugins.entry_points", lambda group: found)
    return Registry("row", [Row("ours", 1)], group="tests.rows", adapt=Row)


def test_installed_rows_come_after_ours_and_never_replace_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = registry(monkeypatch, ours="math:tau", zeta="math:pi", alpha="math:e")
    assert list(rows) == ["ours", "alpha", "zeta"]
    assert len(rows) == 3
    assert rows["ours"].value == 1
    assert rows["zeta"].value == pytest.approx(3.14159, abs=1e-5)
    assert rows["zeta"] is rows["zeta"]
    assert list(rows.built_in) == ["ours"]


def test_unknown_rows_get_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = registry(monkeypatch, zeta="math:pi")
    with pytest.raises(UnknownNameError, match="did you mean zeta"):
        rows.find("zeto")
    assert "zeto" not in rows
    assert "zeta" in rows


@pytest.mark.parametrize("value", ["no_such_module:row", "math:no_such_row", "broken:row"])
def test_a_row_that_cannot_be_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = registry(monkeypatch, other=value)
    with pytest.raises(RequestError, match="row 'other' cannot be loaded") as caught:
        rows.find("other")
    assert "\n" not in str(caught.value)


def test_references_are_searched_in_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows_of_mine.py").write_text("class Held:\n    row = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    rows = registry(monkeypatch)
    assert rows.find("rows_of_mine:Held.row").value == 7


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (MODELS.find, "must be a ModelRow or a function"),
        (SAMPLERS.find, "must be a SamplerInfo or a function"),
        (DATASETS.find, "must be a DatasetInfo or a function"),
        (check_backend_name, "must be a subclass of qhybrid_runtime.Backend or a BackendInfo"),
    ],
)
def test_what_is_no_row_is_refused_in_one_line(find: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        find("math:pi")
