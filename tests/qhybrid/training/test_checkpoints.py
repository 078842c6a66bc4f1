"""Checkpoints of other formats than the one that is written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train

SETTINGS: dict[str, Any] = {
    "model.name": "unet",
    "data.classes": "0,1",
    "ema.start": 0,
    "training.batch_size": 64,
    "training.lr_schedule": "constant",
    "training.device": "cpu",
    "training.log_every": 2,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}


def trained(folder: Path, steps: int, *, resume: bool = False) -> Run:
    config = load_config(overrides={**SETTINGS, "training.max_steps": steps})
    return train(config, out=folder, resume=resume)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "started", 3)


@pytest.fixture
def run(started: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(started.folder, tmp_path / "run"))


def as_the_trainer_wrote(saved: dict[str, Any]) -> dict[str, Any]:
    """The same state as Lightning's Trainer laid it out, which saved runs before the loop here."""
    own = ("step", "ema", "interval_loss", "epoch_loss")
    return {
        "epoch": 0,
        "global_step": saved["step"],
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"model.{name}": tensor for name, tensor in saved["model"].items()},
        "callbacks": {},
        "optimizer_states": [saved["optimizer"]],
        "lr_schedulers": [saved["schedule"]],
        "qhybrid": {name: saved[name] for name in own},
    }


def test_a_checkpoint_of_lightnings_trainer_is_resumed(run: Run, tmp_path: Path) -> None:
    path = run.checkpoint(3)
    torch.save(as_the_trainer_wrote(torch.load(path, weights_only=True)), path)
    resumed, whole = trained(run.folder, 6, resume=True), trained(tmp_path / "whole", 6)
    assert resumed.model_file.read_bytes() == whole.model_file.read_bytes()
    ours, theirs = (
        torch.load(each.checkpoint(6), weights_only=True)["model"] for each in (resumed, whole)
    )
    assert not [name for name in theirs if not torch.equal(ours[name], theirs[name])]


def test_a_part_that_is_missing_from_it_is_told(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.checkpoint(3)
    old = as_the_trainer_wrote(torch.load(path, weights_only=True))
    torch.save({**old, "optimizer_states": []}, path)
    assert main(["train", "--resume", "--out", str(run.folder)]) == 2
    assert "is not a readable checkpoint" in capsys.readouterr().err


def test_a_later_format_is_refused_by_its_number(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.checkpoint(3)
    torch.save({"format": 3, "all else": "is different"}, path)
    assert main(["train", "--resume", "--out", str(run.folder)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"'{path}' has format 3" in error
    assert "reads up to format 2" in error
