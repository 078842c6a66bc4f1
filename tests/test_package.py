"""What a package index and its users would get."""

import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
hatchling = pytest.importorskip("hatchling.builders", reason="hatchling is not installed")
pytest.importorskip("hatch_fancy_pypi_readme", reason="hatch-fancy-pypi-readme is not installed")


@pytest.fixture(scope="module")
def metadata() -> Message:
    from hatchling.builders.wheel import WheelBuilder
    from hatchling.metadata.spec import construct_metadata_file_2_4

    return Parser().parsestr(construct_metadata_file_2_4(WheelBuilder(str(ROOT)).metadata))


def test_who_made_it_and_where_it_is(metadata: Message) -> None:
    assert metadata["Author"]
    labels = [value.split(",")[0] for value in metadata.get_all("Project-URL", [])]
    assert {"Source", "Documentation", "Changelog", "Issues"} <= set(labels)


def test_badges_say_what_the_package_does(metadata: Message) -> None:
    badges = (ROOT / "docs" / "images" / "badges.svg").read_text(encoding="utf-8")
    python = [
        each.split(" :: ")[-1]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("Programming Language :: Python :: 3.")
    ]
    for text in (
        metadata["Version"],
        f"{python[0]} - {python[-1]}",
        metadata["License-Expression"],
    ):
        assert f">{text}<" in badges
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {metadata['Version']}\n" in cited
    assert metadata["Requires-Python"] == f">={python[0]}"


def test_links_and_pictures_of_the_description_are_absolute(metadata: Message) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    source = next(url for url in metadata.get_all("Project-URL", []) if url.startswith("Source"))
    place = source.split(", ")[1].removeprefix("https://github.com/")
    assert len(targets) > 10
    for target in targets:
        assert target.startswith("https://"), target
        if place in target:
            path = target.split(f"{place}/")[1].removeprefix("blob/").removeprefix("main/")
            assert (ROOT / path.partition("#")[0]).exists(), target


def test_the_source_archive_holds_what_builds_and_tests_it() -> None:
    from hatchling.builders.sdist import SdistBuilder

    held = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert {"pyproject.toml", "README.md", "tests/test_package.py"} <= held
    assert not [path for path in held if path.startswith((".ci", ".git", ".docker"))]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source archive, as a package index gets it."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("dist")
    (archive,) = SdistBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    source = Path(archive.removesuffix(".tar.gz"))
    (wheel,) = WheelBuilder(str(source)).build(directory=str(folder), versions=["standard"])
    return Path(wheel)


def test_the_wheel_holds_every_file_of_the_packages(built: Path) -> None:
    packages = {
        "qhybrid": ROOT,
        "qhybrid_circuits": ROOT / "circuits",
        "qhybrid_runtime": ROOT / "runtime",
    }
    wanted = {
        str(path.relative_to(root))
        for name, root in packages.items()
        for path in (root / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(built).namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert any(name.endswith(".toml") for name in held)


@pytest.mark.slow
def test_the_wheel_works_outside_of_the_repository(built: Path, tmp_path: Path) -> None:
    """Installed alone beside its dependencies, in an empty folder and home.

    Several processes load torch, which takes seconds; circuits are not run, for compiling the
    engine anew takes longer and says nothing about the package.
    """
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "env" / "bin" / "python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(built)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(command: str) -> str:
        program, *arguments = shlex.split(command)
        return subprocess.run(
            [str(tmp_path / "env" / "bin" / program), *arguments],
            cwd=empty,
            env={"HOME": str(empty), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    light = "import qhybrid, sys; print(qhybrid.__file__, {'torch', 'qiskit'} & set(sys.modules))"
    assert run(f'python -c "{light}"') == f"{site / 'qhybrid' / '__init__.py'} set()\n"
    small = "--model unet --set training.max_steps=1 --set sampling.num_images=1"
    run(f"qhybrid train {small} --set sampling.steps=1 --set model.dim=8")
    run("qhybrid sample runs/unet-digits-1 --num-images 1 --steps 1")
    page = run("qhybrid report runs/unet-digits-1 --format html")
    assert page.startswith("<!doctype html>")
    assert "defalco2024" in run("qhybrid configs")
    assert (empty / "runs/unet-digits-1/samplings/ddim-1/grid.png").is_file()


def test_bounds_can_be_reached_together(metadata: Message) -> None:
    """No lower bound is below what qiskit-ibm-runtime, and what it needs, allow."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    ours = {r.name: r for r in map(Requirement, metadata.get_all("Requires-Dist", []))}
    least = {
        name: next(s.version for s in each.specifier if s.operator == ">=")
        for name, each in ours.items()
    }
    for line in (requires("qiskit-ibm-runtime") or []) + (requires("samplomatic") or []):
        theirs = Requirement(line)
        if theirs.name in least and theirs.marker is None:
            assert theirs.specifier.contains(least[theirs.name]), line
