"""The notebooks of the documentation run, and what they show is kept in them."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))

#: In the place of the numbers in the cell that is tagged so: enough to come to the end.
SMALL = {
    "hybrid-unet": {"steps": 1},
    "own-circuit": {"steps": 40},
    "cost-on-fake-fez": {"layers": 1},
    "do-my-weights-do-anything": {},
    "simulator-to-device": {"samples": 2, "shots": 64},
    "comparing-honestly": {"seeds": range(2), "steps": 2},
}


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def run(cell: dict[str, Any], namespace: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, if that is an expression."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_ends_with(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, since each kernel of its own would take seconds to load torch and Qiskit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells(path):
        shown = run(cell, namespace)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert namespace.keys() >= SMALL[path.stem].keys()
            namespace.update(SMALL[path.stem])
    if "figure" in namespace:
        axes = namespace["figure"].axes
        assert all(each.lines or each.patches for each in axes)
        namespace["plt"].close("all")
    else:
        assert shown._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_showed_is_kept(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert not re.findall(r"/(?:home|root|tmp|opt|work)/", text)
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
    assert "image/png" in cells(path)[-1]["outputs"][-1]["data"]
    # Every cell was run, in order, and none is long.
    counts = [cell["execution_count"] for cell in cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    assert all(len(cell["source"]) <= 30 for cell in cells(path))
    for link in re.findall(r"\]\(\.\./([\w.-]+)", "".join(map(str, cells(path, "markdown")))):
        assert (path.parents[1] / link).is_file()


def test_there_are_the_notebooks_that_are_promised() -> None:
    assert {path.stem for path in NOTEBOOKS} == SMALL.keys()
