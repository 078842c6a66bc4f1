"""A package of somebody else is installed, and its parts are used by name, none of ours edited."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
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


EACH = """
import contextlib, io, json, sys
from qhybrid.cli.main import main
ended = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, \\
            contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(command)
    ended.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(ended))
"""


def qhybrid(
    *commands: Sequence[str], folder: Path, site: Path | None = None
) -> list[tuple[int, str, str]]:
    """Return the exit code and what is said of each command; one process loads torch for all."""
    paths = [ROOT, ROOT / "circuits", ROOT / "runtime", *([] if site is None else [site])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    ended = subprocess.run(
        # As the installed command does, the folder that it runs in is not searched by Python.
        [sys.executable, "-P", "-c", EACH, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return [(code, said, told) for code, said, told in json.loads(ended.stdout.splitlines()[-1])]


LISTED = [("models", "velocity-unet"), ("backends", "reference"), ("datasets", "stripes")]


@pytest.mark.slow
def test_the_parts_of_an_installed_package_are_used_by_name(site: Path, tmp_path: Path) -> None:
    train = [
        *("train", "--model", "velocity-unet", "--dataset", "stripes", "--backend", "reference"),
        *("--epochs", "2", "--out", "run", "--set", "training.batch_size=8"),
        *("--set", "sampling.sampler=euler", "--set", "sampling.steps=5"),
        *("--set", "sampling.num_images=4", "--set", "diffusion.timesteps=50"),
    ]
    json_of = ("--format", "json")
    ended = qhybrid(
        train,
        ("sample", "run", "--num-images", "3", "--out", "out"),
        ("report", "run", *json_of),
        ("report", "ladder", *json_of),
        *[(command, *json_of) for command, _ in LISTED],
        folder=tmp_path,
        site=site,
    )
    assert [code for code, _, _ in ended] == [0] * len(ended), ended
    trained, _, of_run, of_ansatz, *listings = [said for _, said, _ in ended]
    assert "reference, gradient adjoint" in trained
    assert (tmp_path / "run" / "model.safetensors").is_file()

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["sampler"], manifest["backend"]) == ("euler", "reference")
    with np.load(tmp_path / "out" / "images.npz") as arrays:
        assert arrays["images"].shape == (3, 8, 8, 1)

    assert json.loads(of_run)
    assert "ladder" in of_ansatz
    for (_, name), listed in zip(LISTED, listings, strict=True):
        assert name in [record["name"] for record in json.loads(listed)]

    ((code, _, told),) = qhybrid(("sample", "run"), folder=tmp_path)
    assert code == 2
    assert "unknown model 'velocity-unet'" in told


@pytest.mark.thorough
def test_parts_in_the_working_folder_are_named_by_module(tmp_path: Path) -> None:
    for part in (PLUGIN / "qhybrid_ladder").glob("*.py"):
        text = part.read_text().replace('build_ansatz("ladder"', 'build_ansatz("ansatz:ladder"')
        (tmp_path / part.name).write_text(text)
    train = [
        *("train", "--model", "model:ROW", "--dataset", "stripes:ROW"),
        *("--backend", "backend:ReferenceBackend", "--epochs", "1", "--out", "run"),
        *("--set", "sampling.sampler=sampler:ROW", "--set", "sampling.steps=5"),
        *("--set", "sampling.num_images=4", "--set", "diffusion.timesteps=50"),
    ]
    trained, wrong = qhybrid(train, ("train", "--model", "model:ROWS"), folder=tmp_path)
    assert trained[0] == 0, trained
    code, _, told = wrong
    assert code == 2
    assert told.startswith("error: model 'model:ROWS' cannot be loaded: AttributeError")
    assert told.count("\n") == 1
