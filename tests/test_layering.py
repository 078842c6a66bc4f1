import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Layer folder -> top-level modules that it must not import, directly or lazily.
FORBIDDEN = {
    "circuits/qhybrid_circuits": {
        "qhybrid_runtime",
        "qhybrid",
        "torch",
        "qiskit_aer",
        "qiskit_ibm_runtime",
        "qiskit_machine_learning",
    },
    "runtime/qhybrid_runtime": {"qhybrid", "lightning_fabric", "diffusers", "torchvision"},
}

LAYERS = ("circuits/qhybrid_circuits", "runtime/qhybrid_runtime", "qhybrid")


def imported_modules(path: Path) -> Iterator[str]:
    """Yield what a file imports anywhere in it, as `module` and `module.name`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(layer: Path) -> list[Path]:
    return sorted(path.parent for path in layer.rglob("__init__.py"))


def import_graph(package: Path, layer: Path) -> dict[str, set[str]]:
    """Return which children of a package (modules and packages) import which others.

    The package's own `__init__.py` is left out: it only gives names a shorter path.
    """
    prefix = ".".join(package.relative_to(layer.parent).parts) + "."
    children = {path.stem for path in package.iterdir() if path.suffix == ".py"}
    children |= {path.parent.name for path in package.glob("*/__init__.py")}
    children.discard("__init__")
    graph: dict[str, set[str]] = {}
    for child in children:
        files = [package / f"{child}.py"]
        if (package / child).is_dir():
            files = list((package / child).rglob("*.py"))
        names = {name for file in files for name in imported_modules(file)}
        targets = {
            name.removeprefix(prefix).split(".")[0]
            for name in names
            if name[: len(prefix)] == prefix
        }
        graph[child] = (targets & children) - {child}
    return graph


def import_cycle(layer: Path) -> str | None:
    """Return the first cycle among the children of any package of a layer, or None."""
    for package in packages(layer):
        try:
            TopologicalSorter(import_graph(package, layer)).prepare()
        except CycleError as error:
            return f"{package.relative_to(layer.parent)}: {' <- '.join(error.args[1])}"
    return None


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_lower_layers_do_not_import_higher_ones(layer: str) -> None:
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    wrong = {}
    for path in files:
        found = {name.split(".")[0] for name in imported_modules(path)} & FORBIDDEN[layer]
        if found:
            wrong[str(path.relative_to(ROOT))] = sorted(found)
    assert not wrong


@pytest.mark.parametrize("layer", LAYERS)
def test_no_package_imports_another_in_a_circle(layer: str) -> None:
    assert import_cycle(ROOT / layer) is None


@pytest.mark.parametrize(
    ("files", "cycle"),
    [
        ({"a.py": "import layer.b", "b.py": ""}, None),
        ({"a.py": "import layer.b", "b.py": "def f():\n    from layer.a import x"}, "layer: "),
        (
            {
                "p/__init__.py": "",
                "p/a.py": "import layer.q.a",
                "q/__init__.py": "",
                "q/a.py": "",
                "q/b.py": "from layer import p",
            },
            "layer: ",
        ),
        ({"p/__init__.py": "from layer.p.a import x", "p/a.py": "", "p/b.py": ""}, None),
        (
            {"p/__init__.py": "", "p/a.py": "from layer.p import b", "p/b.py": "import layer.p.a"},
            "layer/p: ",
        ),
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str], cycle: str | None) -> None:
    layer = tmp_path / "layer"
    for name, text in {"__init__.py": "", **files}.items():
        (layer / name).parent.mkdir(parents=True, exist_ok=True)
        (layer / name).write_text(text, encoding="utf-8")
    found = import_cycle(layer)
    assert found is None if cycle is None else (found or "").startswith(cycle)


def test_layer_folders_are_not_packages() -> None:
    assert not (ROOT / "circuits" / "__init__.py").exists()
    assert not (ROOT / "runtime" / "__init__.py").exists()
