import csv
import io
import json
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_training import small
from torch import Tensor

from qhybrid.diffusion.loss import denoising_loss
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.run_lock import locked
from qhybrid.run_metrics import COLUMNS
from qhybrid.training.checkpoints import CheckpointKeeper
from qhybrid.training.outcome import Interrupted, TrainingDiverged
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics_file.open(newline="") as file:
        return list(csv.DictReader(file))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT) -> None:
    """Send this process a signal while the given optimizer step is being done."""
    original = TrainingState.add_loss
    unsent = [number]

    def add_loss(self: TrainingState, loss: Tensor) -> None:
        if self.step + 1 == step and unsent:
            os.kill(os.getpid(), unsent.pop())
        original(self, loss)

    monkeypatch.setattr(TrainingState, "add_loss", add_loss)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small(), out=tmp_path_factory.mktemp("runs") / "whole")


def test_the_folder_of_a_run_is_complete(whole: Run) -> None:
    names = {str(path.relative_to(whole.folder)) for path in whole.folder.rglob("*")}
    assert {
        "config.toml",
        "environment.json",
        "metrics.csv",
        "model.json",
        "model.safetensors",
        "checkpoints/step-0000005.ckpt",
        "checkpoints/step-0000008.ckpt",
        "samples/epoch-001.png",
        "samples/epoch-002.png",
    } <= names
    assert not [name for name in names if Path(name).name.startswith(".")]
    assert any(name.startswith("tensorboard/events") for name in names)
    assert whole.config() == small()
    with Image.open(whole.sample_grid(2)) as grid:
        assert grid.format == "PNG"


def test_the_environment_says_what_made_the_run(whole: Run) -> None:
    environment = json.loads(whole.environment_file.read_text())
    assert environment["seed"] == 0
    assert environment["backend"] == "statevector"
    assert environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "git_revision" in environment
    assert environment["hardware"]["cores"] == os.cpu_count()


def test_metrics_have_a_row_a_logging_step(whole: Run) -> None:
    logged = rows(whole)
    assert tuple(logged[0]) == COLUMNS
    assert [int(row["step"]) for row in logged] == [2, 4, 6, 8]
    assert [int(row["epoch"]) for row in logged] == [1, 1, 2, 2]
    assert all(0 < float(row["loss"]) < 10 for row in logged)
    assert all(float(row["steps_per_second"]) > 0 for row in logged)
    assert float(logged[0]["learning_rate"]) == pytest.approx(6e-3 * 2 / 51, rel=1e-4)


def test_the_model_file_holds_the_ema_weights(whole: Run) -> None:
    newest = whole.newest_checkpoint()
    assert newest is not None
    checkpoint = torch.load(newest, weights_only=True)
    model = load_model(whole.folder)
    averages = checkpoint["ema"]["shadow_params"]
    for parameter, average in zip(model.parameters(), averages, strict=True):
        assert torch.equal(parameter, average)


@pytest.mark.parametrize(
    ("stop_at", "accumulate"), [(7, 1), *thorough([(3, 1), (5, 1), (3, 2)])], ids=str
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
    accumulate: int,
    whole: Run,
) -> None:
    config = small(**{"training.accumulate": accumulate})
    reference = whole if accumulate == 1 else train(config, out=tmp_path / "reference")
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop_at)
        with pytest.raises(Interrupted, match=f"saved at step {stop_at}; resume with: qhybrid"):
            train(config, out=tmp_path / "run")
    run = train(out=tmp_path / "run", resume=True)
    saved, expected = load_file(run.model_file), load_file(reference.model_file)
    assert not [name for name in expected if not torch.equal(saved[name], expected[name])]
    columns = ("step", "epoch", "loss", "learning_rate")
    assert [[row[c] for c in columns] for row in rows(run)] == [
        [row[c] for c in columns] for row in rows(reference)
    ]


def test_sigterm_saves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(monkeypatch, 2, signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(small(), out=tmp_path / "run")
    assert Run(tmp_path / "run").newest_step() == 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_signals_during_the_saving_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 2)
    original = torch.save

    def save(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(Interrupted, match="saved at step 2"):
        train(small(), out=tmp_path / "run")
    newest = Run(tmp_path / "run").newest_checkpoint()
    assert newest is not None
    assert torch.load(newest, weights_only=True)["step"] == 2


def test_a_second_signal_within_a_step_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 7)
    interrupt_at(monkeypatch, 7)
    with pytest.raises(Interrupted, match="stopped at once; the newest checkpoint is of step 5"):
        train(small(), out=tmp_path / "run")


def test_a_run_without_a_checkpoint_resumes_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        interrupt_at(patch, 3)
        with pytest.raises(Interrupted, match="step 0"):
            train(small(), out=tmp_path / "run")
    run = train(out=tmp_path / "run", resume=True)
    assert run.model_file.read_bytes() == whole.model_file.read_bytes()


def test_more_epochs_extend_a_run(tmp_path: Path) -> None:
    config = small(**{"training.max_steps": 2, "training.lr_schedule": "constant"})
    train(config, out=tmp_path / "run")
    with pytest.raises(RequestError, match=r"done all of its 2 steps; give --set .*max_steps=N"):
        train(out=tmp_path / "run", resume=True)
    longer = small(**{"training.max_steps": 4, "training.lr_schedule": "constant"})
    run = train(longer, out=tmp_path / "run", resume=True)
    assert [int(row["step"]) for row in rows(run)] == [2, 4]
    assert run.config() == longer
    at_once = train(longer, out=tmp_path / "at_once")
    assert run.model_file.read_bytes() == at_once.model_file.read_bytes()


def test_a_resumed_run_cannot_become_another(whole: Run) -> None:
    with pytest.raises(RequestError, match=r"training\.seed is 0 in the run .* become 1"):
        train(small(**{"training.seed": 1}), out=whole.folder, resume=True)


def test_a_folder_with_a_run_is_not_overwritten(whole: Run) -> None:
    before = whole.model_file.stat().st_mtime_ns
    with pytest.raises(
        RequestError, match="holds a run already; continue it with `qhybrid train --resume --out "
    ):
        train(small(), out=whole.folder)
    assert whole.model_file.stat().st_mtime_ns == before


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(Interrupted):
            train(small(), out=tmp_path / "run")
    return Run(tmp_path / "run")


def _without(data: bytes, key: str) -> bytes:
    checkpoint = torch.load(io.BytesIO(data), weights_only=True)
    del checkpoint[key]
    written = io.BytesIO()
    torch.save(checkpoint, written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "not a readable checkpoint"),
        (lambda data: b"", "not a readable checkpoint"),
        (lambda data: _without(data, "optimizer"), "not a readable checkpoint"),
        (lambda data: _without(data, "schedule"), "not a readable checkpoint"),
        (lambda data: _without(data, "ema"), "not a readable checkpoint"),
    ],
    ids=["cut", "empty", "no optimizer", "no scheduler", "no average"],
)
def test_a_damaged_checkpoint_is_refused(
    stopped: Run, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = stopped.checkpoint(1)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RequestError, match=message):
        train(out=stopped.folder, resume=True)


def test_a_checkpoint_of_another_model_is_refused(stopped: Run) -> None:
    text = stopped.config_file.read_text()
    stopped.config_file.write_text(text.replace("dim = 10", "dim = 20"))
    with pytest.raises(RequestError, match="saved from another model"):
        train(out=stopped.folder, resume=True)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = count()

    def loss(*args: Any) -> torch.Tensor:
        return denoising_loss(*args) * (float("nan") if next(losses) == 5 else 1.0)

    monkeypatch.setattr("qhybrid.diffusion.epsilon.denoising_loss", loss)
    with pytest.raises(TrainingDiverged, match=r"step 6 .*step-0000005\.ckpt"):
        train(small(), out=tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.newest_step() == 5
    assert all(torch.isfinite(tensor).all() for tensor in load_file(run.model_file).values())


def test_weights_that_are_not_finite_are_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingState.end_step

    def end_step(self: TrainingState) -> None:
        original(self)
        if self.step == 8:
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("inf"))

    monkeypatch.setattr(TrainingState, "end_step", end_step)
    with pytest.raises(TrainingDiverged, match="step 8"):
        train(small(), out=tmp_path / "run")
    assert Run(tmp_path / "run").newest_step() == 5


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run = train(
        small(**{"training.batch_size": 360, "training.max_steps": 4}), out=tmp_path / "run"
    )
    assert [path.name for path in run.saved_checkpoints()] == [
        "step-0000003.ckpt",
        "step-0000004.ckpt",
    ]


def test_a_failed_save_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CheckpointKeeper.save

    def save(self: CheckpointKeeper, state: TrainingState) -> None:
        if state.step == 8:
            monkeypatch.setattr(torch, "save", fail)
        original(self, state)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckpointKeeper, "save", save)
    with pytest.raises(OSError, match="No space left"):
        train(small(), out=tmp_path / "run")
    files = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert files == ["step-0000005.ckpt"]


def test_a_checkpoint_under_the_name_of_another_step_is_refused(stopped: Run) -> None:
    stopped.checkpoint(1).rename(stopped.checkpoint(7))
    with pytest.raises(RequestError, match="not a readable checkpoint"):
        train(out=stopped.folder, resume=True)


def test_a_damaged_log_is_begun_again(stopped: Run) -> None:
    stopped.metrics_file.write_bytes(b"\xff\x00 junk\n")
    run = train(out=stopped.folder, resume=True)
    assert [int(row["step"]) for row in rows(run)] == [2, 4, 6, 8]


def test_a_run_that_another_process_trains_is_left_alone(stopped: Run) -> None:
    before = stopped.config_file.stat().st_mtime_ns
    with (
        locked(stopped.folder),
        pytest.raises(RequestError, match=r"process (\d+, begun at .*, )?is training the run"),
    ):
        train(out=stopped.folder, resume=True)
    assert stopped.config_file.stat().st_mtime_ns == before
    assert train(out=stopped.folder, resume=True).newest_step() == 8
