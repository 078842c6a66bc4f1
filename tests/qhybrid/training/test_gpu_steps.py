"""That a training step leaves a GPU alone: it waits for nothing that was computed there."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.profiler import ProfilerActivity, profile

from qhybrid.settings.sources import load_config
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough

MODELS = ["unet", "1hqconv-qvunet", "quanvunet", "qbottleneck-unet"]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; none is here")


def prepared(model: str, device: str) -> tuple[TrainingState, Tensor, Tensor]:
    """A run's state, images and labels on a torch device."""
    settings = {"model.name": model, "training.batch_size": 4, "training.device": "cpu"}
    session = build_session(load_config(overrides={**settings, "ema.start": 0, "ema.every": 1}))
    state = session.state
    module = state.module.to(device)
    images, labels = next(iter(session.batches(session.dataset)))
    state = TrainingState(module, session.config, state.plan)
    return state, images.to(device), labels.to(device)


def step(state: TrainingState, images: Tensor, labels: Tensor) -> None:
    """Do what the loop does for a batch."""
    loss = state.module(images, labels, state.step)
    loss.backward()
    state.add_loss(loss)
    clip_grad_norm_(state.model.parameters(), 1.0, error_if_nonfinite=False)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.end_step()


@pytest.mark.parametrize("model", ["1hqconv-qvunet", *thorough(["qbottleneck-unet"])])
def test_a_step_takes_times_and_noise_from_the_host_and_nothing_else(
    model: str, from_host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On torch device "meta" nothing has a value: whatever asks for one raises.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    state, images, labels = prepared(model, "meta")
    step(state, images, labels)
    with from_host as transfers:
        step(state, images, labels)
    # Times are known where each image has all of them. Both are copied from pinned memory.
    drawn = 1 if model == "qbottleneck-unet" else 2
    assert transfers.found == ["_to_copy"] * drawn


@on_gpu
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_is_not_waited_for_in_a_step(model: str) -> None:
    state, images, labels = prepared(model, "cuda")
    for _ in range(3):  # What is made once is made, and circuits are recorded.
        step(state, images, labels)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        step(state, images, labels)
    waits = [event.key for event in profiler.key_averages() if "Synchronize" in event.key]
    # The profiler itself waits for the device when it stops.
    assert [name for name in waits if name != "cudaDeviceSynchronize"] == []


def test_tf32_is_refused_on_the_cpu() -> None:
    config = load_config(overrides={"training.precision": "tf32", "training.device": "cpu"})
    with pytest.raises(RequestError, match="precision 'tf32' is a GPU's"):
        build_session(config)
