"""A training of some seconds."""

from typing import Any

from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config

SMALL: dict[str, Any] = {
    "model.name": "unet",
    "data.classes": "0,1",
    "training.batch_size": 64,
    "training.max_steps": 8,
    "training.log_every": 2,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 4,
}
"""360 images, 64 a step: epoch 1 ends at step 5, and the run with step 8."""


def small(**overrides: Any) -> Config:
    return load_config(overrides={**SMALL, **overrides})
