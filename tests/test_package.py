"""What a package index and its users would get."""

import re
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
    assert not [path for path in held if path.startswith((".ci", ".git"))]


def test_the_wheel_holds_configurations_and_experiments() -> None:
    from hatchling.builders.wheel import WheelBuilder

    held = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    data = [*ROOT.glob("qhybrid/configs/*.toml"), *ROOT.glob("qhybrid/experiments/*.toml")]
    assert len(data) >= 8
    assert {str(path.relative_to(ROOT)) for path in data} <= held


def test_bounds_can_be_reached_together(metadata: Message) -> None:
    """No lower bound is below what qiskit-ibm-runtime's own requirements allow."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    ours = {r.name: r for r in map(Requirement, metadata.get_all("Requires-Dist", []))}
    least = {
        name: next(s.version for s in each.specifier if s.operator == ">=")
        for name, each in ours.items()
    }
    for line in requires("qiskit-ibm-runtime") or []:
        theirs = Requirement(line)
        if theirs.name in least and theirs.marker is None:
            assert theirs.specifier.contains(least[theirs.name]), line
