"""`qhybrid bound` from the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from qhybrid.cli import main

TINY = ["--device", "cpu", "--classes", "0,1", "--set", "training.max_steps=1"]
TINY += ["--set", "sampling.num_images=1", "--set", "diffusion.timesteps=12"]


def test_a_run_has_a_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    made = ["--model", "light-unet", "--set", "model.dim=8", "--set", "sampling.steps=1"]
    assert main(["train", *made, *TINY, "--out", run]) == 0
    capsys.readouterr()
    assert main(["bound", run, "--num-images", "3", "--format", "json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert (found["split"], found["images"], found["dimensions"]) == ("train", 3, 64)
    for variance, curve in found["bits_per_dimension_by_timestep"].items():
        rows = {row["term"]: row for row in found["terms"] if row["variance"] == variance}
        assert len(curve) == 12
        total = sum(curve) + rows["L_T, prior"]["bits_per_dimension"]
        assert rows["bound"]["bits_per_dimension"] == pytest.approx(total, rel=1e-9)
        assert rows["bound"]["low"] < total < rows["bound"]["high"]
    folder = Path(run, "bounds", "train-1")
    assert json.loads((folder / "bound.json").read_text()) == found
    assert Image.open(folder / "bound.png").size[0] > 400
    assert main(["bound", run, "--num-images", "3"]) == 0
    again = capsys.readouterr().out
    assert f"{rows['bound']['bits_per_dimension']:.4g}" in again
    assert "train-2" in again
    assert main(["bound", run, "--split", "test"]) == 2
    assert "has no 'test' split" in capsys.readouterr().err
    assert main(["bound", run, "--num-images", "1"]) == 2
    assert "--num-images must be 2 or more" in capsys.readouterr().err


def test_models_that_predict_no_noise_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    made = ["--model", "qbottleneck-unet", "--device", "cpu", "--batch-size", "2"]
    made += ["--set", "training.max_steps=1", "--set", "sampling.num_images=1"]
    assert main(["train", *made, "--out", run]) == 0
    capsys.readouterr()
    assert main(["bound", run]) == 2
    assert "but qbottleneck-unet is a model of states" in capsys.readouterr().err
