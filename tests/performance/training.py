"""Training steps, and processes that take turns in doing them."""

import math
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.diffusion.noise import GaussianNoise
from qhybrid.diffusion.specs import P2Weighting, ScheduleSpec
from qhybrid.models.attention import HEAD_FEATURES, HEADS, LinearAttention
from qhybrid.models.convolution import Conv1x1
from qhybrid.models.fused import when
from qhybrid.models.spec import ModelSpec
from qhybrid.models.unet import DecoderLevel, EncoderLevel, UNet
from qhybrid.models.zoo import build_model
from qhybrid_runtime import get_backend
from tests.performance.processes import start


class TextbookAttention(LinearAttention):
    """Linear attention as the paper has it: q, k, v and every head's output at each position."""

    def attend(self, tokens: Tensor) -> Tensor:
        batch, positions, _ = tokens.shape
        qkv = self.qkv(tokens).view(batch, positions, 3, HEADS, HEAD_FEATURES)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q = q.softmax(dim=-1) / HEAD_FEATURES**0.5
        k = k.softmax(dim=-2)
        context = k.transpose(-2, -1) @ (v / positions)
        heads = (q @ context).transpose(1, 2).reshape(batch, positions, -1)
        return self.output_norm(self.output(heads))  # type: ignore[no-any-return]


#: Options that leave our kernels out, as it was until November 2026.
OPERATIONS = {"operations", "textbook"}


@contextmanager
def by_operations() -> Iterator[None]:
    """Let U-Nets do all by torch's operations within a with block."""
    with (
        patch.object(when, "FUSED_FROM", math.inf),
        patch.object(Conv1x1, "forward", nn.Conv2d.forward),
    ):
        yield


def as_in_textbooks(model: UNet) -> UNet:
    """Put the textbook form in the place of all linear attention, with the same weights."""
    for level in [*model.encoder, *model.decoder]:
        if not isinstance(level, (EncoderLevel, DecoderLevel)):
            raise TypeError(f"a level is a {type(level).__name__}")
        other = TextbookAttention(level.attention.qkv.in_features)
        other.load_state_dict(level.attention.state_dict())
        level.attention = other
    return model


def training_step(
    model: str, batch: int, size: int, options: Collection[str] = ()
) -> Callable[[], Tensor]:
    """Return a function that does one step of Adam on one batch, and returns the loss.

    Args:
        model: A model's name, or NAME@BACKEND.
        batch: Images.
        size: Their side in pixels.
        options: `operations` leaves our kernels out, and `textbook` takes attention in its textbook
            form besides; `bf16` puts the forward pass under bfloat16 autocast.
    """
    name, _, backend = model.partition("@")
    generator = torch.Generator().manual_seed(0)
    spec = ModelSpec(name, image_size=size)
    network = build_model(spec, get_backend(backend or "statevector"), None, generator)
    if "textbook" in options:
        as_in_textbooks(network)
    plain = not OPERATIONS.isdisjoint(options)
    optimizer = torch.optim.Adam(network.parameters(), fused=not plain)
    images = torch.randn(batch, 1, size, size, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    times = torch.randint(0, 1000, (batch,), generator=generator)

    def loss_of_noise() -> Tensor:
        return F.mse_loss(network(images, times).float(), noise)

    loss_of = loss_of_noise if spec.timesteps is None else _state_loss(network, spec, images)

    def step() -> Tensor:
        optimizer.zero_grad()
        with (
            by_operations() if plain else nullcontext(),
            torch.autocast("cpu", torch.bfloat16, enabled="bf16" in options),
        ):
            loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _state_loss(network: nn.Module, spec: ModelSpec, images: Tensor) -> Callable[[], Tensor]:
    """The loss of a model of states: each image at all time steps."""
    if spec.timesteps is None or spec.classes is None:
        raise ValueError(f"{spec.name} is not a model of states")
    schedule, classes = ScheduleSpec(timesteps=spec.timesteps), len(spec.classes)
    of_states = spec.row.process.build(schedule, P2Weighting(), classes)
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, len(spec.classes), (len(images),), generator=generator)
    return lambda: of_states.loss(network, images, labels, generator, GaussianNoise())


def take_turns(variants: Mapping[str, Sequence[str]], rounds: int = 5) -> dict[str, float]:
    """Return the median seconds of a step in each of several processes that take turns.

    Args:
        variants: Arguments of `processes.steps` by name.
        rounds: Steps of each.
    """
    running = {name: start("steps", *arguments) for name, arguments in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in running}
    try:
        for process in running.values():
            _answer(process)
        for _ in range(rounds):
            for name, process in running.items():
                if process.stdin is None:
                    raise RuntimeError("the process has no standard input")
                process.stdin.write("\n")
                process.stdin.flush()
                times[name].append(float(_answer(process)))
    finally:
        for process in running.values():
            process.communicate()
    return {name: float(np.median(values)) for name, values in times.items()}


def _answer(process: "subprocess.Popen[str]") -> str:
    if process.stdout is None:
        raise RuntimeError("the process has no standard output")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"process {process.pid} ended")
    return line.strip()
