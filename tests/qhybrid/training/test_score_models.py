"""Runs in continuous time: trained, stopped and resumed, drawn from, and reported on."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qhybrid.cli import main
from qhybrid.diffusion.sde import SDES
from qhybrid.run_folder import Run
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import SamplingRequest
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

SMALL = {
    "model.name": "light-unet",
    "model.dim": 8,
    "data.classes": "0,1",
    "training.batch_size": 64,
    "training.max_steps": 8,
    "training.log_every": 1,
    "training.device": "cpu",
    "sampling.steps": 3,
    "sampling.num_images": 4,
}


def _config(schedule: str, **overrides: object) -> Config:
    return load_config(overrides={**SMALL, "diffusion.schedule": schedule, **overrides})


def _losses(run: Run) -> list[float]:
    with run.metrics_file.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_a_run_that_stopped_goes_on_as_one_that_did_not(tmp_path: Path) -> None:
    schedule = "ve-sde"
    whole = train(_config(schedule), out=tmp_path / "whole")
    stopped = train(_config(schedule, **{"training.max_steps": 5}), out=tmp_path / "stopped")
    resumed = train(_config(schedule), out=stopped.folder, resume=True)
    assert _losses(whole) == _losses(resumed)
    tensors, others = (load_file(run.model_file) for run in (whole, resumed))
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert whole.config().diffusion.schedule_spec.continuous
    assert whole.forward_plot.is_file()


def test_a_run_is_sampled_and_reported_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(train(_config("ve-sde", **{"training.max_steps": 1}), out=tmp_path / "run").folder)
    for sampler in ("pc", "sde", "ode"):
        out = str(tmp_path / sampler)
        given = ["--sampler", sampler, "--steps", "4", "--num-images", "3", "--out", out]
        assert main(["sample", run, *given]) == 0
        with np.load(Path(out, "images.npz")) as arrays:
            assert arrays["images"].shape == (3, 8, 8, 1)
    assert main(["report", run, "--no-health"]) == 0
    assert "error" not in capsys.readouterr().err
    request = SamplingRequest(backend="fake_fez", sampler="pc", steps=4, hardware_steps=1)
    with pytest.raises(RequestError, match="must be a multiple of 2 with the sampler pc"):
        plan_sampling(Run(Path(run)), request)


@pytest.mark.skipif(
    "QHYBRID_TEST_MNIST" not in os.environ, reason="QHYBRID_TEST_MNIST names no file of digits"
)
@pytest.mark.parametrize("schedule", SDES)
def test_real_digits_are_learned(schedule: str, tmp_path: Path) -> None:
    overrides = {"data.dataset": os.environ["QHYBRID_TEST_MNIST"], "data.image_size": 8}
    overrides |= {"diffusion.p2_gamma": 0, "training.max_steps": 40}
    losses = _losses(train(_config(schedule, **overrides), out=tmp_path / "run"))
    # Predicting no noise at all has a loss of 1.
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"diffusion.loss_weights": "likelihood"}, ["of the schedules vp-sde", "is 'cosine'"]),
        (
            {
                "diffusion.schedule": "vp-sde",
                "diffusion.loss_weights": "likelihood",
                "diffusion.p2_gamma": 1,
            },
            ["p2_gamma are of the weights 'p2'"],
        ),
        ({"diffusion.sigma_max": 5}, ["sigma_max is of the schedules ve-sde", "'cosine'"]),
        (
            {"model.name": "qbottleneck-unet", "diffusion.schedule": "vp-sde"},
            ["'vp-sde' is in continuous time", "a model of states", "choose another"],
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    overrides: dict[str, object], parts: list[str]
) -> None:
    with pytest.raises(RequestError) as found:
        load_config(overrides=overrides)
    assert all(part in str(found.value) for part in parts)
