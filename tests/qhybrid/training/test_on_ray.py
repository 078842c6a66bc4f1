"""Runs of a group on a Ray that is started here, with the weights that they have without it."""

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.files import checksum
from qhybrid.run_group import Group
from qhybrid.settings.sources import load_config, save_config
from qhybrid.training.on_ray import OnRay, cores_of_each
from qhybrid.training.outcome import Interrupted
from qhybrid.training.seeds import train_seeds
from qhybrid_circuits.errors import QHybridError

SMALL = {
    "model.name": "unet",
    "model.dim": 2,
    "data.limit": 20,
    "training.batch_size": 10,
    "training.max_steps": 2,
    "training.device": "cpu",
    "sampling.steps": 1,
    "sampling.num_images": 1,
}


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Start a Ray with two cores, once: some seconds."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'qhybrid[ray]'")
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False
    )
    yield
    ray.shutdown()


@pytest.mark.parametrize(
    ("machines", "jobs", "cores"),
    [([8, 8], 2, 8), ([8, 8], 3, 4), ([8, 2], 2, 4), ([16, 4], 6, 3), ([2], 5, 1), ([], 1, 1)],
)
def test_runs_have_the_most_cores_that_fit(machines: list[int], jobs: int, cores: int) -> None:
    assert cores_of_each(machines, jobs) == cores


def test_runs_on_ray_are_as_they_are_in_turn(local_ray: None, tmp_path: Path) -> None:
    # Two processes import torch: some seconds.
    config = load_config(overrides=SMALL)
    written = io.StringIO()
    there = train_seeds(
        config,
        seeds=2,
        jobs=2,
        launcher="ray",
        out=tmp_path / "ray",
        console=Console(file=written, width=300),
    )
    here = train_seeds(config, seeds=2, out=tmp_path / "here")
    weights = [[checksum(load_file(run.model_file)) for run in g.runs()] for g in (there, here)]
    assert weights[0] == weights[1]
    said = written.getvalue()
    assert "Ray: 1 machine, 2 runs at a time" in said
    assert "seed-1 begins" in said


def test_signals_and_failures_come_through(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group(tmp_path / "group")
    save_config(load_config(overrides=SMALL), group.config_file)
    for seed in range(3):
        group.run(seed).folder.mkdir()
    stand_in = tmp_path / "stand-in"
    lines = ('[ "$9" = 0 ] && echo "error: no room" && exit 1', "trap 'exit 130' INT")
    loop = 'echo begun > "$5/mark"; n=0; while [ $n -lt 900 ]; do n=$((n+1)); sleep 0.02; done'
    stand_in.write_text("\n".join(("#!/bin/sh", *lines, loop)))
    stand_in.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stand_in))
    ray = OnRay(group, 1, None, gpu=True)
    threading.Thread(target=_interrupt, args=(group.run(1).folder / "mark",)).start()
    with pytest.raises(Interrupted, match=r"seed-1; .* --out"):
        ray.train([group.run(seed) for seed in range(3)])
    assert not (group.run(2).folder / "mark").exists()
    with pytest.raises(QHybridError, match=r"^seed-0: no room$"):
        OnRay(group, 1, None, gpu=False).train([group.run(0)])


def _interrupt(mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_ray_that_is_missing_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    out = ["--out", str(tmp_path / "group")]
    assert main(["train", "--seeds", "2", "--launcher", "ray", *out]) == 2
    assert "pip install 'qhybrid[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "group").exists()
    assert main(["train", "--launcher", "ray", *out]) == 2
    assert "--launcher is for a group of runs; give --seeds N" in capsys.readouterr().err
