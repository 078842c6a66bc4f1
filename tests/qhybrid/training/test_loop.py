"""The loop against plain PyTorch, written out for the one model and order that it is about."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam

from qhybrid.diffusion.ema import Ema
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.diffusion.specs import EmaSpec, P2Weighting
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.torch_device import suitable_threads
from qhybrid.training.batches import NOISE, ORDER, derive_seed
from qhybrid.training.session import build_session
from qhybrid.training.train import train
from tests.selection import thorough

STEPS, BATCH = 5, 16


def config(accumulate: int, precision: str, clip: float) -> Config:
    return load_config(
        overrides={
            "model.name": "unet",
            "data.classes": "0,1",
            "ema.start": 1,
            "ema.every": 2,
            "training.accumulate": accumulate,
            "training.batch_size": BATCH,
            "training.device": "cpu",
            "training.gradient_clip": clip,
            "training.max_steps": STEPS,
            "training.precision": precision,
            "training.warmup_steps": 2,
            "sampling.steps": 1,
            "sampling.num_images": 1,
        }
    )


def by_hand(config: Config) -> tuple[dict[str, Tensor], list[Tensor]]:
    session, settings = build_session(config), config.training
    model, dataset = session.state.model, session.dataset
    adam = Adam(model.parameters(), betas=settings.betas, eps=settings.eps, fused=True)
    ema = Ema(model, EmaSpec(config.ema.decay, 2, 1, config.ema.power))
    order = np.random.default_rng(derive_seed(0, ORDER, 0)).permutation(len(dataset))
    noises = noise_scheduler(config.diffusion.schedule_spec)
    weighting = P2Weighting(config.diffusion.p2_k, config.diffusion.p2_gamma)
    bf16 = settings.precision == "bf16"
    factors = [1 / 3, 2 / 3, *(0.5 * (1 + math.cos(math.pi * (done / 3))) for done in range(3))]
    number = 0
    for step, factor in enumerate(factors):
        for _ in range(settings.accumulate):
            chosen = order[number * BATCH : (number + 1) * BATCH]
            images = torch.stack([dataset[int(index)][0] for index in chosen])
            generator = torch.Generator().manual_seed(derive_seed(0, NOISE, number))
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = denoising_loss(model, images, noises, weighting, generator)
            (loss / settings.accumulate).backward()
            number += 1
        if settings.gradient_clip:
            clip_grad_norm_(model.parameters(), settings.gradient_clip)
        adam.param_groups[0]["lr"] = settings.learning_rate * factor
        adam.step()
        adam.zero_grad()
        ema.step(model, step)
    return model.state_dict(), ema.state_dict()["shadow_params"]


@pytest.mark.parametrize(
    ("accumulate", "precision", "clip"),
    [(1, "32", 1.0), (2, "32", 0.1), *thorough([(3, "bf16", 0.0)])],
)
def test_five_steps_are_those_of_a_loop_by_hand(
    tmp_path: Path, accumulate: int, precision: str, clip: float
) -> None:
    settings = config(accumulate, precision, clip)
    run = train(settings, out=tmp_path / "run")
    saved = torch.load(run.checkpoint(STEPS), weights_only=True)
    with suitable_threads("cpu", 8):
        weights, averages = by_hand(settings)
    assert saved["model"].keys() == weights.keys()
    assert not [name for name in weights if not torch.equal(saved["model"][name], weights[name])]
    for ours, theirs in zip(saved["ema"]["shadow_params"], averages, strict=True):
        assert torch.equal(ours, theirs)
