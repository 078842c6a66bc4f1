"""Several processes train what one trains, and end together.

Tests that start processes take some seconds each, most of them for torch.
"""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rank_processes import (
    RankProcesses,
    fit_autoencoders_briefly,
    in_double_precision,
    refuse_the_angles,
    run_out_of_memory,
    spoil_the_numbers,
)
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.diffusion import autoencoder
from qhybrid.run_folder import Run
from tests.selection import thorough

SETTINGS = {
    "model.name": "unet",
    "model.dim": 2,
    "data.limit": 30,
    "ema.start": 1,
    "ema.every": 2,
    # Not a multiple of the processes.
    "training.batch_size": 9,
    # Or Adam would make whole steps along gradients that are 0 but for rounding.
    "training.eps": 1e-2,
    "training.warmup_steps": 2,
    "training.max_steps": 7,
    "training.log_every": 2,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 3,
}
WIDER = {"model.dim": 4}
"""Over more steps, rounding grows in the narrowest network: a normalization has few values."""
HYBRID = {"model.name": "1hqconv-qvunet", "model.ansatz_layers": 1}
ERRORS = {"model.encoding": "amplitude", "quantum.noise_aware": "fake_manila"}
ENDLESS = {"training.max_steps": 100_000, "training.epochs": 100_000, "training.log_every": 1}


def command(out: Path, *more: str, **settings: object) -> list[str]:
    chosen = {**SETTINGS, **settings}
    given = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
    return ["train", "--out", str(out), *given, *more]


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(run)]


def assert_same_run(one: Path, other: Path) -> None:
    """Compare what a run leaves, but for what time it took."""
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    for key in ("step", "epoch", "learning_rate"):
        assert [row[key] for row in rows(one)] == [row[key] for row in rows(other)]
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=1e-5)
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    events = [path for path in names if path.parts[0] == "tensorboard"]
    others = {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    assert set(names) - set(events) == {p for p in others if p.parts[0] != "tensorboard"}
    grids = [path for path in names if path.parts[0] == "samples"]
    assert grids
    for path in grids:
        assert (one / path).read_bytes() == (other / path).read_bytes()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process trains."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(command(out, **WIDER)) == 0
    return out


@pytest.mark.parametrize(
    ("program", "settings"),
    [
        *thorough([("srun", {**HYBRID, **ERRORS, "training.accumulate": 2})]),
        (None, {**HYBRID, "diffusion.schedule": "learned"}),
        *thorough([("torchrun", {"model.name": "qlatent", "model.dim": 6})]),
    ],
    ids=["accumulate and errors", "circuits and learned schedule", "latents"],
)
def test_two_processes_train_what_one_trains(
    program: str | None,
    settings: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"training.max_steps": 2, **settings}
    monkeypatch.setattr(autoencoder, "STEPS", autoencoder.STEPS)  # and back after the test
    fit_autoencoders_briefly()
    assert main(command(tmp_path / "one", **settings)) == 0
    number = [] if program else ["--devices", "2"]
    arguments = command(tmp_path / "two", *number, **settings)
    poison = fit_autoencoders_briefly
    ranks = RankProcesses(arguments, tmp_path / "said", program=program, poison=poison)
    assert ranks.codes() == [0, 0], ranks.said()
    assert "2 x cpu" in ranks.said()[0]
    assert ranks.said()[1] == ""
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.thorough
def test_in_double_precision_the_losses_are_equal_to_many_digits(tmp_path: Path) -> None:
    found = []
    # The metric is that of all rows, and each row is moved along directions of its own.
    drawn = {"training.optimizer": "qng", "quantum.gradient": "spsa"}
    for size in (1, 2):
        out = tmp_path / str(size)
        settings = {**HYBRID, **drawn, "training.max_steps": 4}
        arguments = command(out, "--devices", str(size), **settings)
        ranks = RankProcesses(
            arguments, tmp_path / f"said-{size}", size=size, poison=in_double_precision
        )
        assert ranks.codes() == [0] * size, ranks.said()
        state = torch.load(Run(out).checkpoint(4), weights_only=True)
        found.append((state["epoch_loss"]["total"], state["model"], losses(out)))
    (total, model, rows_one), (other_total, other_model, rows_two) = found
    assert rows_two == rows_one
    assert other_total == pytest.approx(total, rel=1e-10)
    for name, tensor in model.items():
        torch.testing.assert_close(other_model[name], tensor, rtol=0, atol=1e-6)


def begun(out: Path, folder: Path, steps: int = 4) -> RankProcesses:
    """Two processes in the middle of a run, after a checkpoint."""
    ranks = RankProcesses(command(out, "--devices", "2", **ENDLESS), folder)
    deadline = time.monotonic() + 100
    while not (Run(out).newest_step() and len(rows(out)) >= steps):
        assert time.monotonic() < deadline, ranks.said()
        time.sleep(0.05)
    return ranks


@pytest.mark.parametrize("killed", [1, *thorough([0])])
def test_a_killed_process_ends_the_other_with_one_line_and_the_run_goes_on(
    killed: int, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    ranks = begun(out, tmp_path / "said")
    os.kill(ranks.processes[killed].pid or 0, signal.SIGKILL)
    since = time.monotonic()
    codes = ranks.codes()
    assert time.monotonic() - since < 30  # seconds on an idle machine, which this may not be
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] == 1
    said = ranks.said()[1 - killed].splitlines()
    assert [line for line in said if "error" in line] == said[-1:]
    assert said[-1].startswith("error: another process was ended")
    assert "--resume" in said[-1]
    assert Run(out).newest_checkpoint() is not None
    if not killed:
        return
    # Another number of processes, and as many as before, come to what one process comes to.
    done = Run(out).newest_step()
    again = ["--resume", "--set", f"training.max_steps={done + 2}", "--set", "training.epochs=9999"]
    shutil.copytree(out, tmp_path / "copy")
    assert main(["train", "--out", str(out), *again, "--devices", "1"]) == 0
    ranks = RankProcesses(["train", "--out", str(tmp_path / "copy"), *again], tmp_path / "later")
    assert ranks.codes() == [0, 0], ranks.said()
    assert losses(tmp_path / "copy")[-2:] == pytest.approx(losses(out)[-2:], rel=1e-5)
    assert losses(out)[:4] == pytest.approx(losses(tmp_path / "copy")[:4], rel=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, *thorough([signal.SIGUSR1])])
def test_a_signal_to_one_process_stops_all_and_saves(
    number: signal.Signals, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    ranks = begun(out, tmp_path / "said")
    os.kill(ranks.processes[1].pid or 0, number)
    assert ranks.codes() == [130, 0], ranks.said()
    step = Run(out).newest_step()
    assert int(rows(out)[-1]["step"]) == step
    assert ranks.said()[0].splitlines()[-1].startswith(f"interrupted: saved at step {step}; ")
    assert ranks.said()[1] == ""


@pytest.mark.parametrize(
    ("poison", "line"),
    [
        *thorough(
            [
                (spoil_the_numbers, "the loss stopped being a finite number at step 3"),
                (refuse_the_angles, "the loss stopped being a finite number at step 3"),
            ]
        ),
        (run_out_of_memory, "process 1: no room"),
    ],
)
def test_what_fails_in_one_process_ends_all_with_its_message(
    poison: Callable[[int], None], line: str, tmp_path: Path
) -> None:
    arguments = command(tmp_path / "run", "--devices", "2")
    ranks = RankProcesses(arguments, tmp_path / "said", poison=poison)
    codes = ranks.codes()
    assert codes[0] == 1
    assert codes[1] is not None
    said = ranks.said()
    assert said[0].splitlines()[-1].startswith(f"error: {line}")
    assert said[1] == ""


def shell(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    given = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(
        words, capture_output=True, text=True, env=given, timeout=200, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("launcher", thorough(["fabric", "torchrun"]))
def test_launchers_start_processes_that_train_what_one_trains(
    launcher: str, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    if launcher == "fabric":
        ended = shell(sys.executable, "-m", "qhybrid", *command(out, "--devices", "2", **WIDER))
    else:
        start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
        ended = shell(sys.executable, *start, "-m", "qhybrid", *command(out, **WIDER))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    epochs = [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("epoch")]
    assert epochs == [f"{number}/20" for number in range(1, len(epochs) + 1)]  # each is said once
    assert_same_run(alone, out)
