"""Runs of two stages, in one folder."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from qhybrid.cli import main
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.outcome import Interrupted
from qhybrid.training.seeds import train_seeds
from qhybrid.training.stages import first_stage
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough

SMALL: dict[str, Any] = {
    "data.dataset": "digits",
    "data.classes": "0,1",
    "data.limit": 64,
    "model.ansatz_layers": 1,
    "training.batch_size": 32,
    "training.epochs": 1,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 4,
    "transfer.epochs": 2,
}


def staged(**overrides: Any) -> Config:
    return load_config("defalco2024-transfer-mnist", {**SMALL, **overrides})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(staged(), out=tmp_path_factory.mktemp("whole") / "run")


def same(one: Run, other: Run) -> bool:
    ours, theirs = load_file(one.model_file), load_file(other.model_file)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Send Ctrl-C after so many optimizer steps, counted over both stages."""
    original, left = TrainingState.add_loss, [after]

    def add_loss(self: TrainingState, loss: Tensor) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        original(self, loss)

    monkeypatch.setattr(TrainingState, "add_loss", add_loss)


@pytest.mark.thorough
def test_one_command_does_what_two_do(whole: Run, tmp_path: Path) -> None:
    config = staged()
    first = train(first_stage(config), out=tmp_path / "classical")
    transfer = {"init_from": str(first.folder), "model": None, "epochs": None}
    second = config.model_copy(update={"transfer": config.transfer.model_copy(update=transfer)})
    hybrid = train(second, out=tmp_path / "hybrid")
    assert same(whole.pretrained, first)
    assert same(whole, hybrid)
    assert whole.pretrained.newest_step() == 4
    assert whole.newest_step() == 2
    taken = json.loads(whole.transfer_file.read_text())
    assert (taken["model"], taken["source"]) == ("unet", str(whole.pretrained.folder))
    assert whole.environment_file.is_file()


@pytest.mark.parametrize("after", [3, *thorough([5])])
def test_a_run_that_is_resumed_in_either_stage_ends_as_an_uninterrupted_one(
    after: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        with pytest.raises(Interrupted, match=f"resume with: qhybrid train .* {folder}$"):
            train(staged(), out=folder)
    shutil.move(folder, tmp_path / "moved")
    run = train(out=tmp_path / "moved", resume=True)
    assert same(run.pretrained, whole.pretrained)
    assert same(run, whole)
    with pytest.raises(RequestError, match="has done all of its 2 steps"):
        train(out=run.folder, resume=True)


@pytest.mark.thorough
def test_seeds_have_a_first_stage_each(tmp_path: Path) -> None:
    config = staged(**{"training.max_steps": 1})
    group = train_seeds(config, seeds=2, out=tmp_path / "group")
    first, second = (load_file(run.pretrained.model_file) for run in group.runs())
    assert not torch.equal(first["output.weight"], second["output.weight"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"transfer.model": "unit"}, "unknown model 'unit'; did you mean unet"),
        ({"transfer.model": "qlatent"}, "transfer.model=qlatent: "),
        ({"transfer.init_from": "elsewhere"}, "leave one of the two out"),
        ({"model.name": "7hqconv-qvunet", "model.dim": 2}, "vertex has 8 channels"),
        ({"data.dataset": "nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_what_cannot_be_trained_leaves_no_files(
    overrides: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=message):
        train(staged(**overrides), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_epochs_of_no_model_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--set", "transfer.epochs=3"]) == 2
    assert "transfer.epochs needs a model to train first" in capsys.readouterr().err
    assert main(["train", "--freeze", "classical"]) == 2
    assert "needs a run to start from" in capsys.readouterr().err


def test_the_first_stage_is_trained_by_adam_and_keeps_no_epochs() -> None:
    config = staged(**{"training.optimizer": "qng", "training.keep_epochs": "1"})
    first = first_stage(config)
    assert (first.training.optimizer, first.training.keep_epochs) == ("adam", None)
