"""Training that cannot go on: the line says what is safe and what to do."""

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qhybrid.cli.main import main
from qhybrid.diffusion.loss import check_weighting
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.run_folder import Run
from qhybrid.run_lock import locked
from qhybrid.settings.sources import load_config
from qhybrid.training import run_training
from qhybrid.training.outcome import TrainingDiverged
from qhybrid.training.session import Session, build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import NotFiniteError, RequestError, WriteError

SETTINGS: dict[str, Any] = {
    "model.name": "unet",
    "data.limit": 8,
    "training.batch_size": 8,
    "training.lr_schedule": "constant",
    "training.device": "cpu",
    "training.max_steps": 1,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}


def trained(folder: Path, *, resume: bool = False, **changes: Any) -> Run:
    return train(load_config(overrides={**SETTINGS, **changes}), out=folder, resume=resume)


def test_a_full_disk_is_told_with_what_is_safe_and_the_command_that_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_of_at_most: Callable[[int], AbstractContextManager[None]],
) -> None:
    # Nothing goes by the system's folder of temporary files, which may be another, smaller disk.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    folder, command = tmp_path / "run", f"qhybrid train --resume --out {tmp_path / 'run'}"
    with files_of_at_most(200_000), pytest.raises(WriteError) as first:
        trained(folder)
    assert str(first.value) == (
        f"cannot write '{Run(folder).model_file}': File too large; there is no checkpoint yet; "
        f"make room, then resume with: {command}"
    )
    assert main([*command.split()[1:], "--set", "training.max_steps=1"]) == 0
    with files_of_at_most(200_000), pytest.raises(WriteError) as second:
        trained(folder, resume=True, **{"training.max_steps": 2})
    assert "model.safetensors': File too large; the checkpoint of step 1 is safe" in str(
        second.value
    )
    assert os.listdir(Run(folder).checkpoints) == ["step-0000001.ckpt"]
    assert trained(folder, resume=True, **{"training.max_steps": 2}).newest_step() == 2


@pytest.mark.parametrize(
    "name", ["config.toml", "metrics.csv", "epoch-001.png", "model.safetensors"]
)
def test_every_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target.name == name:
            raise OSError(30, "Read-only file system")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(
        WriteError, match=rf"{re.escape(name)}': Read-only file system; .*; make room"
    ):
        trained(tmp_path / "run")
    # What was not begun leaves no folder.
    assert (tmp_path / "run").exists() == (name != "config.toml")
    assert not list(tmp_path.rglob(".*"))


def test_the_log_that_cannot_grow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode == "a":
            raise OSError(28, "No space left on device")
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WriteError, match=r"metrics\.csv': No space left .* resume with: qhybrid"):
        trained(tmp_path / "run")


def test_a_folder_that_another_process_has_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (
        locked(tmp_path / "run"),
        pytest.raises(RequestError, match=r"process (\d+, begun at .*, )?is training the run"),
    ):
        trained(tmp_path / "run")
    assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize("model", ["1hqconv-qvunet", "qbottleneck-unet", "qattention-unet"])
def test_a_hybrid_that_diverges_names_step_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """Circuits refuse such angles before any loss shows them."""
    end_step = TrainingState.end_step

    def diverge(self: TrainingState) -> None:
        end_step(self)
        if self.step == 2:
            with torch.no_grad():
                for weight in self.model.parameters():
                    weight.fill_(torch.nan)

    monkeypatch.setattr(TrainingState, "end_step", diverge)
    changes: dict[str, Any] = {"model.name": model, "model.ansatz_layers": 1}
    if model == "qbottleneck-unet":
        changes |= {"model.dim": 4, "sampling.sampler": "ddpm", "sampling.steps": 10}
    changes |= {"training.batch_size": 8, "training.max_steps": 4, "training.log_every": 100}
    changes["data.limit"] = 100
    with pytest.raises(
        TrainingDiverged, match=r"loss .* at step 3, .*lower --set training"
    ) as told:
        trained(tmp_path / "run", **changes)
    assert re.search(r" first in the weights \S+ and \d+ others, .* at step 2 \(", str(told.value))
    assert isinstance(told.value.__cause__.__cause__, NotFiniteError)


def test_the_first_tensor_that_is_not_finite_is_found_from_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One normalization gives infinity in the fifth step; all that follows it does so, too."""
    forward, built = nn.GroupNorm.forward, build_session
    sessions: list[Session] = []

    def overflow(self: nn.GroupNorm, x: Tensor) -> Tensor:
        state = sessions[-1].state
        bad = state.model.get_submodule("vertex.second.first_norm")
        return forward(self, x) * (torch.inf if self is bad and state.step == 4 else 1)

    def remember(*arguments: Any) -> Session:
        sessions.append(built(*arguments))
        return sessions[-1]

    monkeypatch.setattr(nn.GroupNorm, "forward", overflow)
    monkeypatch.setattr(run_training, "build_session", remember)
    changes = {"training.batch_size": 4, "training.max_steps": 8, "training.log_every": 100}
    with pytest.raises(TrainingDiverged) as told:
        trained(tmp_path / "run", **changes)
    assert told.value.step == 5
    assert told.value.checkpoint == Run(tmp_path / "run").checkpoint(4)
    assert "first in the output of vertex.second.first_norm at step 5 (" in str(told.value)


@pytest.mark.parametrize(
    ("k", "gamma", "t"), [(1.0, 1e308, 0), (1e308, 0.5, 0), (1.0, 12.0, 0), (1e-40, 9.0, 0)]
)
def test_weights_of_the_loss_that_vanish_or_explode_are_refused(
    tmp_path: Path, k: float, gamma: float, t: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--set", f"diffusion.p2_k={k!r}", "--set", f"diffusion.p2_gamma={gamma!r}")
    assert main(["train", "--model", "unet", *settings, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "use a smaller diffusion.p2_gamma" in error
    assert not (tmp_path / "run").exists()


def test_weights_are_refused_where_single_precision_loses_them() -> None:
    alphas = noise_scheduler(ScheduleSpec()).alphas_cumprod
    exact = alphas.double().numpy()
    for gamma in np.arange(0.0, 20.0, 0.5).tolist():
        weights = ((1 + exact / (1 - exact)) ** -gamma).astype(np.float32)
        if weights.min() > 1e-37:
            check_weighting(alphas, P2Weighting(1.0, gamma))
        elif weights.min() == 0:
            with pytest.raises(RequestError, match="timestep 0 the weight 0"):
                check_weighting(alphas, P2Weighting(1.0, gamma))


def test_an_option_with_its_default_is_not_taken_for_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"training.batch_size": 8, "training.seed": 1, "training.precision": "bf16"}
    trained(tmp_path / "run", **changes)
    resume = ["train", "--resume", "--out", str(tmp_path / "run")]
    for option, default in (("--batch-size", 32), ("--seed", 0), ("--precision", 32)):
        assert main([*resume, option, str(default)]) == 2
        key = f"training.{option.strip('-').replace('-', '_')}"
        expected = rf"{key} is {changes[key]} in the run .* cannot become {default} on resuming"
        assert re.search(expected, capsys.readouterr().err), option
