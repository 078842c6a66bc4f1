import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from qhybrid.files import checksum
from qhybrid.run_group import Group
from qhybrid.settings.sources import load_config, save_config
from qhybrid.training.outcome import Interrupted
from qhybrid.training.seeds import train_seeds
from qhybrid.training.side_by_side import SideBySide
from qhybrid_circuits.errors import QHybridError, RequestError

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


@pytest.fixture
def group(tmp_path: Path) -> Group:
    group = Group(tmp_path / "group")
    save_config(load_config(overrides=SMALL), group.config_file)
    for seed in range(3):
        group.run(seed).folder.mkdir()
    return group


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put a shell script in the place of Python; it gets the command's arguments."""
    path = folder / "stand-in"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


@pytest.mark.thorough
def test_runs_are_as_they_are_in_turn(tmp_path: Path) -> None:
    # Two processes that import torch: some seconds.
    config = load_config(overrides=SMALL)
    groups = [train_seeds(config, seeds=2, jobs=n, out=tmp_path / str(n)) for n in (1, 2)]
    weights = [[checksum(load_file(run.model_file)) for run in group.runs()] for group in groups]
    assert weights[0] == weights[1]
    assert len(set(weights[0])) == 2


def test_each_process_has_a_run_and_its_share_of_the_cores(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    stand_in(monkeypatch, tmp_path, 'echo "epoch $OMP_NUM_THREADS $@"; echo other')
    save_config(load_config(overrides=SMALL), group.run(1).config_file)
    written = io.StringIO()
    console = Console(file=written, width=1000)
    SideBySide(group, 3, console).train([group.run(seed) for seed in (0, 1)])
    lines = [line for line in written.getvalue().splitlines() if "begins" not in line]
    asked = f"epoch 2 -m qhybrid train --out {{}} --config {group.config_file} --seed"
    assert sorted(lines) == [
        f"seed-0  {asked.format(group.run(0).folder)} 0",
        f"seed-1  {asked.format(group.run(1).folder)} 1 --resume",
    ]
    written.truncate(0)
    SideBySide(group, 1, console).train([group.run(0)], yes=True)
    assert f"{group.config_file} --seed 0 --yes" in written.getvalue()


def test_runs_of_several_processes_are_trained_in_turn_with_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    stand_in(monkeypatch, tmp_path, 'echo "epoch $OMP_NUM_THREADS $3 $5 $(date +%N)"; sleep 0.1')
    written = io.StringIO()
    config = load_config(overrides={**SMALL, "training.devices": 2})
    console = Console(file=written, width=1000)
    group = train_seeds(config, seeds=2, out=tmp_path / "group", console=console)
    assert group.config().training.devices == 2
    lines = written.getvalue().splitlines()
    said = [line.split()[:5] for line in lines if " epoch " in line or "begins" in line]
    assert said == [
        line
        for seed in (0, 1)
        for line in (
            [str(group.run(seed).folder), "begins"],
            [f"seed-{seed}", "epoch", "3", "train", str(group.run(seed).folder)],
        )
    ]


@pytest.mark.parametrize(("code", "kind"), [(1, QHybridError), (2, RequestError)])
def test_a_failure_is_told_after_the_others_are_done(
    code: int,
    kind: type[Exception],
    group: Group,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails = f'[ "$9" = 0 ] && echo "error: no room" && exit {code}'
    stand_in(monkeypatch, tmp_path, f'{fails}; echo done > "$5/mark"')
    with pytest.raises(kind, match=r"^seed-0: no room$"):
        SideBySide(group, 1, None).train([group.run(seed) for seed in range(3)])
    assert [(group.run(seed).folder / "mark").exists() for seed in range(3)] == [False, True, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_ends_the_group(
    number: signal.Signals, group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = f"trap 'exit 130' {number.name.removeprefix('SIG')}"
    loop = "n=0; while [ $n -lt 3000 ]; do n=$((n+1)); sleep 0.02; done"
    stand_in(monkeypatch, tmp_path, f'{waits}; echo begun > "$5/mark"; {loop}')
    marks = [group.run(seed).folder / "mark" for seed in range(3)]

    def interrupt() -> None:
        while not (marks[0].exists() and marks[1].exists()):
            time.sleep(0.01)
        # To this thread: the kernel may choose any, and handlers run in the main thread alone.
        signal.pthread_kill(threading.get_ident(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted, match=rf"seed-0 and seed-1; .* --out {group.folder}$"):
        SideBySide(group, 2, None).train([group.run(seed) for seed in range(3)])
    thread.join()
    assert not marks[2].exists()
