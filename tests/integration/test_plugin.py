"""A package of somebody else is installed, and its parts are used by name, none of ours edited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the plug-in is installed into."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(folder), str(PLUGIN)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    assert list(folder.glob("qhybrid_ladder-*.dist-info"))
    return folder


def qhybrid(
    *arguments: str, folder: Path, site: Path | None = None
) -> subprocess.CompletedProcess[str]:
    paths = [ROOT, ROOT / "circuits", ROOT / "runtime", *([] if site is None else [site])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        # As the installed command does, the folder that it runs in is not searched by Python.
        [sys.executable, "-P", "-m", "qhybrid", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_an_installed_package_is_trained_with_by_name(site: Path, tmp_path: Path) -> None:
    trained = qhybrid(
        *("train", "--model", "velocity-unet", "--dataset", "stripes", "--backend", "reference"),
        *("--epochs", "2", "--out", "run", "--set", "training.batch_size=8"),
        *("--set", "sampling.sampler=euler", "--set", "sampling.steps=5"),
        *("--set", "sampling.num_images=4", "--set", "diffusion.timesteps=50"),
        folder=tmp_path,
        site=site,
    )
    assert trained.returncode == 0, trained.stderr
    assert "reference, gradient adjoint" in trained.stdout
    assert (tmp_path / "run" / "model.safetensors").is_file()

    drawn = qhybrid(
        "sample", "run", "--num-images", "3", "--out", "out", folder=tmp_path, site=site
    )
    assert drawn.returncode == 0, drawn.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["sampler"], manifest["backend"]) == ("euler", "reference")
    with np.load(tmp_path / "out" / "images.npz") as arrays:
        assert arrays["images"].shape == (3, 8, 8, 1)

    report = qhybrid("report", "run", "--format", "json", folder=tmp_path, site=site)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)

    without = qhybrid("sample", "run", folder=tmp_path)
    assert without.returncode == 2
    assert "unknown model 'velocity-unet'" in without.stderr


@pytest.mark.parametrize(
    ("command", "name"),
    [("models", "velocity-unet"), ("backends", "reference"), ("datasets", "stripes")],
)
def test_listings_have_the_rows_of_installed_packages(
    site: Path, tmp_path: Path, command: str, name: str
) -> None:
    listed = qhybrid(command, "--format", "json", folder=tmp_path, site=site)
    assert listed.returncode == 0, listed.stderr
    assert name in [record["name"] for record in json.loads(listed.stdout)]


def test_a_report_on_an_installed_ansatz(site: Path, tmp_path: Path) -> None:
    report = qhybrid("report", "ladder", "--format", "json", folder=tmp_path, site=site)
    assert report.returncode == 0, report.stderr
    assert "ladder" in report.stdout


def test_parts_in_the_working_folder_are_named_by_module(tmp_path: Path) -> None:
    for part in (PLUGIN / "qhybrid_ladder").glob("*.py"):
        text = part.read_text().replace('build_ansatz("ladder"', 'build_ansatz("ansatz:ladder"')
        (tmp_path / part.name).write_text(text)
    trained = qhybrid(
        *("train", "--model", "model:ROW", "--dataset", "stripes:ROW"),
        *("--backend", "backend:ReferenceBackend", "--epochs", "1", "--out", "run"),
        *("--set", "sampling.sampler=sampler:ROW", "--set", "sampling.steps=5"),
        *("--set", "sampling.num_images=4", "--set", "diffusion.timesteps=50"),
        folder=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    wrong = qhybrid("train", "--model", "model:ROWS", folder=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: model 'model:ROWS' cannot be loaded: AttributeError")
    assert wrong.stderr.count("\n") == 1
