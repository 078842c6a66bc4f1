"""What the README and the examples show is run."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qhybrid.cli.main import main
from tests.selection import thorough

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONG = ("continuous_time", "control", "quantum_attention", "quantum_bottleneck", "transfer")
LONG = (*LONG, "quanvunet", "wide_unet")


def examples() -> list[Any]:
    """Return the examples, those that take long among the thorough tests."""
    short = [path for path in EXAMPLES if path.stem not in LONG]
    return [*short, *thorough(path for path in EXAMPLES if path.stem in LONG)]


@pytest.mark.parametrize("number", [0, 1])
def test_python_blocks_of_the_readme_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(blocks[number], "README.md", "exec"), {})
    shown = ("tensor(", "two-qubit gates")
    assert len(blocks) == len(shown)
    assert shown[number] in capsys.readouterr().out


def test_ci_takes_its_command_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extract = re.search(r"test_command=\$\((sed .*?) README\.md\)", script)
    assert extract is not None
    command = subprocess.run(
        f"{extract[1]} README.md", shell=True, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert command.count("\n") == 1
    for part in ("python3 -m venv", "ruff check .", "ruff format --check .", "mypy", "pytest"):
        assert part in command


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https://)([^)#]+)[^)]*\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(2, tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 0
    assert "loss" in capsys.readouterr().out


def test_backends_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--set", "training.max_steps=1", "--set", "sampling.num_images=1"]
    run = tmp_path / "run"
    assert main(["train", "--out", str(run), *quick, "--set", "sampling.steps=1"]) == 0
    capsys.readouterr()
    path = ROOT / "docs" / "compare_backends.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(run), "aer", "--num-images", "2", "--steps", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| `statevector`", "| `aer`"]
    assert lines[2].startswith("| `statevector` | 0.000 | 0.0e+00 | 0.00 |")
