"""Networks that differ from `1hqconv-qvunet` in one or two things, for study_influence.py."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from qhybrid.diffusion.epsilon import EpsilonProcess
from qhybrid.diffusion.noise import NoiseSource
from qhybrid.diffusion.process import ProcessInfo
from qhybrid.models import image_sizes
from qhybrid.models.attention import VertexAttention
from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.quantum_vertex import PartlyQuantumConv
from qhybrid.models.quanvolution import QuanvolutionalConv, QuanvResNetBlock
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.row import ModelRow
from qhybrid.models.spec import ModelSpec
from qhybrid.models.unet import DecoderLevel, UNet
from qhybrid.models.vertex import Vertex
from qhybrid.models.zoo import Execution, qvunet
from qhybrid_circuits.ansatz import build_ansatz

GROUPED = 21
VERTEX_AT_4 = (1, 4)
"""Multipliers of the levels that lead 8x8 images to a vertex of 4x4, as wide as that of 2x2."""


class ImageProcess(EpsilonProcess):
    """The model predicts the image, and the loss is the squared error of it."""

    def loss(
        self,
        model: Callable[..., Any],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise_source: NoiseSource,
    ) -> Tensor:
        times = torch.randint(self.schedule.timesteps, (len(images),), generator=generator)
        noise = noise_source.stream(generator).normal(images.shape)
        return (
            (model(self.scheduler.add_noise(images, noise, times), times) - images).square().mean()
        )

    def epsilon(self, predicted: Tensor, x: Tensor, t: int) -> Tensor:
        signal = self.scheduler.alphas_cumprod[t]
        return cast("Tensor", (x - signal.sqrt() * predicted) / (1 - signal).sqrt())


class Nothing(nn.Module):
    """A shortcut that is none."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def convolutions(model: UNet) -> list[PartlyQuantumConv]:
    return [module for module in model.modules() if isinstance(module, PartlyQuantumConv)]


def beside(conv: PartlyQuantumConv) -> float:
    """Return the size of the outputs of the convolution beside circuits, for inputs of size 1."""
    return float(conv.classical.weight[0].numel() ** 0.5) if conv.classical else 1.0


def replace_measure(conv: PartlyQuantumConv, measure: Callable[[Tensor], Tensor]) -> None:
    conv.measure = measure  # type: ignore[assignment, method-assign]


def with_gain(model: UNet) -> None:
    """Multiply the circuits' outputs, which makes them as large as the convolution's beside them.

    It is `model.variant=scaled`.
    """
    for conv in convolutions(model):
        usual, gain = conv.measure, beside(conv)
        replace_measure(conv, lambda x, usual=usual, gain=gain: gain * usual(x))


def with_own_norm(model: UNet) -> None:
    """Normalize the circuits' channels apart from the convolution's, then the same."""
    for conv in convolutions(model):
        conv.own_norm = norm = nn.GroupNorm(1, conv.quantum_channels)
        usual, gain = conv.measure, beside(conv)
        replace_measure(conv, lambda x, f=usual, norm=norm, gain=gain: gain * norm(f(x)))


def with_groups(model: UNet) -> None:
    """Let each circuit take 21 channels instead of 3, a group of 3 after the other."""
    for conv in convolutions(model):
        circuit = cast("QuanvolutionalConv", conv).circuit
        conv.share(GROUPED, conv.quantum_channels + cast("nn.Conv2d", conv.classical).in_channels)
        replace_measure(conv, lambda x, circuit=circuit: circuit(x[:, :GROUPED]))


def with_angles(model: UNet) -> None:
    """Multiply the circuits' inputs by pi."""
    for conv in convolutions(model):
        usual = conv.measure
        replace_measure(conv, lambda x, usual=usual: usual(torch.pi * x))


def without_lowest_skip(model: UNet) -> None:
    """Give the first decoder level, which follows the vertex, zeros for its skips."""
    _without_skips(model, 1)


def without_skips(model: UNet) -> None:
    """Give all decoder levels zeros for their skips; the stem's skip stays."""
    _without_skips(model, len(model.decoder))


def _without_skips(model: UNet, count: int) -> None:
    for level in list(model.decoder)[:count]:
        usual = partial(DecoderLevel.forward, cast("DecoderLevel", level))
        level.forward = lambda x, time, first, second, usual=usual: usual(  # type: ignore[assignment,misc]
            x, time, torch.zeros_like(first), torch.zeros_like(second)
        )


def without_any_skip(model: UNet) -> None:
    """Give the last block zeros for the stem's skip, too: all goes through the vertex."""
    without_skips(model)
    model.last.register_forward_pre_hook(
        lambda _, inputs: (inputs[0] * _first_half(inputs[0]), *inputs[1:])
    )


def _first_half(x: Tensor) -> Tensor:
    half = torch.arange(x.shape[1], device=x.device) < x.shape[1] // 2
    return half[:, None, None].to(x)


def without_shortcuts(model: UNet) -> None:
    """Leave the residual blocks of the vertex without what goes around their convolutions."""
    for block in model.vertex.modules():
        if isinstance(block, ResNetBlock):
            block.shortcut = Nothing()


CHANGES: dict[str, tuple[Callable[[UNet], None], ...]] = {
    "paper": (),
    "gain": (with_gain,),
    "own_norm": (with_own_norm,),
    "angles": (with_angles,),
    "no_lowest_skip": (without_lowest_skip,),
    "no_level_skips": (without_skips,),
    "no_skips": (without_any_skip,),
    "no_shortcut": (without_shortcuts,),
    "image": (),
    "at_4x4": (),
    "gain_no_lowest_skip": (with_gain, without_lowest_skip),
    "gain_no_skips": (with_gain, without_any_skip),
    "gain_at_4x4": (with_gain,),
    "gain_at_4x4_image": (with_gain,),
    "shared_at_4x4": (with_groups,),
}


def changed(name: str, spec: ModelSpec, execution: Execution, **options: Any) -> UNet:
    """Build a 1HQConv QVU-Net, changed."""
    if "at_4x4" in name:
        model = _at_4x4(spec, execution)
    else:
        model = qvunet(spec, execution, ansatz="hqconv", circuits=1)
    for change in CHANGES[name]:
        change(model)
    return model


def _at_4x4(spec: ModelSpec, execution: Execution) -> UNet:
    width = spec.dim * VERTEX_AT_4[-1]
    circuit = build_ansatz("hqconv", channels=3, layers=spec.ansatz_layers)

    def block() -> QuanvResNetBlock:
        first, second = (
            QuanvolutionalConv(
                PatchCircuit(circuit, width, execution.backend, **execution.options), width
            )
            for _ in range(2)
        )
        return QuanvResNetBlock(first, second, width, 4 * spec.dim)

    vertex = Vertex(block(), VertexAttention(width), block())
    usual = image_sizes.IMAGE_SIZES
    image_sizes.IMAGE_SIZES = {**usual, 8: VERTEX_AT_4}  # type: ignore[misc]
    try:
        return UNet(vertex, image_size=8, channels=spec.channels, dim=spec.dim)
    finally:
        image_sizes.IMAGE_SIZES = usual  # type: ignore[misc]


IMAGE = ProcessInfo(ImageProcess)
for _name in CHANGES:
    _process = {"process": IMAGE} if "image" in _name else {}
    globals()[f"ROW_{_name}"] = ModelRow(
        _name, partial(changed, _name), circuits=True, variants=("paper",), **_process
    )
