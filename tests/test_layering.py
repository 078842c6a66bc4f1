import ast
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
    "runtime/qhybrid_runtime": {"qhybrid", "lightning", "diffusers", "torchvision"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_lower_layers_do_not_import_higher_ones(layer: str) -> None:
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported(path) & FORBIDDEN[layer])
        for path in files
        if imported(path) & FORBIDDEN[layer]
    }
    assert not wrong


def test_layer_folders_are_not_packages() -> None:
    assert not (ROOT / "circuits" / "__init__.py").exists()
    assert not (ROOT / "runtime" / "__init__.py").exists()
