from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train


def small(**overrides: Any) -> Config:
    fixed = {
        "model.name": "unet",
        "model.dim": 4,
        "training.batch_size": 64,
        "training.device": "cpu",
        "sampling.steps": 1,
        "sampling.num_images": 1,
    }
    return load_config(overrides={**fixed, **overrides})


def test_numbers_beside_nouns_agree(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = small(
        **{"data.classes": "0", "training.epochs": 1, "training.max_steps": 1, "training.seed": 1}
    )
    train(config, out=tmp_path / "run", console=Console())
    printed = capsys.readouterr().out
    assert "178 of 8x8x1, 1 class\n" in printed
    assert "1 epoch, 1 step of 64 images" in printed


def test_weights_that_hardly_reach_their_average_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = small(**{"training.max_steps": 2, "ema.decay": 0.9, "ema.warmup": False})
    train(config, out=tmp_path / "run", console=Console())
    assert "81% of those will still be the weights before training" in capsys.readouterr().out
