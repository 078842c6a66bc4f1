"""Runs whose noise schedule is trained with the model, from the command line to images."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qhybrid.cli.main import main
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import load_model, read_weights, save_model
from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

SETTINGS: dict[str, Any] = {
    "model.name": "light-unet",
    "model.dim": 2,
    "diffusion.schedule": "learned",
    "data.limit": 64,
    "ema.start": 0,
    "training.batch_size": 8,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 1,
}


def trained(folder: Path, steps: int, *, resume: bool = False, **changes: Any) -> Run:
    limit = {"training.max_steps": steps, "training.lr_schedule": "constant"}
    config = load_config(overrides={**SETTINGS, **limit, **changes})
    return train(config, out=folder, resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "whole", 4)


def test_the_schedule_is_trained_averaged_saved_and_resumed(whole: Run, tmp_path: Path) -> None:
    before = trained(tmp_path / "run", 2)
    half = read_weights(before.model_file)[0]
    resumed = read_weights(trained(tmp_path / "run", 4, resume=True).model_file)[0]
    expected = read_weights(whole.model_file)[0]
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())
    for part in ("ends", "heights", "slopes", "centres"):
        name = f"noise_levels.{part}"
        assert not torch.equal(half[name], expected[name])
        newest = torch.load(whole.newest_checkpoint(), weights_only=True)["model"][name]
        assert not torch.equal(newest, expected[name])  # the file has the average


def test_the_other_weights_start_as_with_any_schedule(tmp_path: Path) -> None:
    """A learning rate of nearly nothing leaves them where they begin."""
    still = {"training.learning_rate": 1e-30}
    learned = trained(tmp_path / "learned", 1, **still)
    cosine = trained(tmp_path / "cosine", 1, **still, **{"diffusion.schedule": "cosine"})
    ours, theirs = (read_weights(run.model_file)[0] for run in (learned, cosine))
    assert ours.keys() - theirs.keys() == {name for name in ours if name.startswith("noise_levels")}
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "sde-dpm++", "sde", "ode"])
def test_every_sampler_draws_by_the_trained_levels(
    sampler: str, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same images as of a run on the list of betas that the model's schedule has."""
    listed = Run(shutil.copytree(whole.folder, tmp_path / "listed"))
    betas = load_model(whole.folder).noise_levels.betas(1000)
    text = whole.config_file.read_text(encoding="utf-8")
    text = text.replace('schedule = "learned"', f'schedule = "trained_betas"\nbetas = {betas}')
    listed.config_file.write_text(text, encoding="utf-8")
    tensors = read_weights(listed.model_file)[0]
    kept = {name: each for name, each in tensors.items() if not name.startswith("noise_levels")}
    save_model(kept, replace(read_spec(listed.folder), schedule=None), listed.folder)
    images = []
    for run in (whole, listed):
        out = tmp_path / f"{run.folder.name}-images"
        asked = ["--num-images", "2", "--steps", "3", "--sampler", sampler, "--out", str(out)]
        assert main(["sample", str(run.folder), *asked]) == 0
        images.append(np.load(out / "images.npz")["images"])
    capsys.readouterr()
    assert np.array_equal(*images)


def test_nothing_is_said_of_its_gradient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**SETTINGS, "model.name": "qattention-unet", "training.max_steps": 1}
    assigned = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    assert main(["train", *assigned, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "warning" not in said
    assert "influence" in said


def test_wrong_requests() -> None:
    base = {"diffusion.schedule": "learned"}
    with pytest.raises(RequestError, match=r"diffusion\.p2_gamma has no effect on the schedule"):
        load_config(overrides={**base, "diffusion.p2_gamma": 1.0})
    assert load_config("paper", base).diffusion.p2_gamma == 0.5
    with pytest.raises(RequestError, match="for models that predict the noise in images"):
        load_config(overrides={**base, "model.name": "qbottleneck-unet"})
    with pytest.raises(RequestError, match="must be at most 2000"):
        load_config(overrides={**base, "diffusion.timesteps": 4000})
