"""Builders of the models; `qhybrid.models.rows` has the table of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import nn

from qhybrid.diffusion.autoencoder import Autoencoder
from qhybrid.diffusion.learned_schedule import LearnedSchedule
from qhybrid.models.attention import VertexAttention
from qhybrid.models.catalog import check_model_memory
from qhybrid.models.circuits import bottleneck_circuit, circuit_at, refuse_chosen
from qhybrid.models.control import Options
from qhybrid.models.convolution import Conv3x3
from qhybrid.models.latent import CircuitDenoiser, LatentDiffusion, check_fit
from qhybrid.models.light_unet import LightUNet
from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.quantum_attention import QuantumAttention
from qhybrid.models.quantum_bottleneck import (
    QuantumBottleneck,
    QuantumBottleneckUNet,
    complex_encoder,
    real_encoder,
)
from qhybrid.models.quantum_vertex import (
    PIXELS,
    QuantumResNetBlock,
    QuantumVertexConv,
    ReusedOutputsBlock,
    SharedWeightsBlock,
)
from qhybrid.models.quanvolution import QuanvolutionalConv, QuanvResNetBlock
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.rows import HO, ONE_BLOCK, REPLACING, SCALED, SCHEDULE_MODULE
from qhybrid.models.spec import ModelSpec
from qhybrid.models.unet import EncoderLevel, UNet
from qhybrid.models.variance_head import add_variances
from qhybrid.models.vertex import Vertex
from qhybrid.models.wide_blocks import WideVertex, quantum_channels
from qhybrid.models.wide_released import MixingPatchCircuit, released_circuit
from qhybrid.models.wide_unet import WideUNet, wide_widths
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_circuits.plugins import load_reference
from qhybrid_runtime import Backend, get_backend

ANSATZ_CHANNELS = 3
QUANVOLUTION_LEVEL = 1
ATTENTION_QUBITS = 16
LATENT_HIDDEN = 256
"""Units of both hidden layers of the classical denoiser of latents."""


@dataclass(frozen=True)
class Execution:
    """Where and how a model's circuits run.

    Attributes:
        backend: Where the circuits run.
        gradient: A gradient method of the backend; None for its best.
        generator: Source of the initial circuit weights; None for torch's global one.
        control: Whether classical layers of as many weights take the circuits' places.
    """

    backend: Backend
    gradient: str | None
    generator: torch.Generator | None
    control: bool = False

    @property
    def options(self) -> Options:
        """What circuits are made with besides the backend."""
        return {"gradient": self.gradient, "generator": self.generator, "control": self.control}


def build_model(
    spec: ModelSpec,
    backend: Backend | None = None,
    gradient: str | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Build a model of the zoo: it takes images (B, C, H, W) and times (B,) to the noise in them.

    Models of another process take and give what `ModelSpec` says.

    Args:
        spec: Which one, at what size.
        backend: Where its circuits run; None for `statevector`.
        gradient: A gradient method of the backend; None for its best.
        generator: Source of all initial weights, classical and quantum; torch's global generator
            is then left as it was. None uses the global one.

    Raises:
        CircuitError: The vertex is too narrow for the model's circuits.
        RequestError: The weights do not fit into the memory, or the model cannot learn variances.

    Example:
        >>> import torch
        >>> import qhybrid
        >>> spec = qhybrid.ModelSpec("1hqconv-qvunet", image_size=8, channels=1)
        >>> model = qhybrid.build_model(spec, generator=torch.Generator().manual_seed(0))
        >>> model(torch.zeros(2, 1, 8, 8), torch.tensor([0, 999])).shape
        torch.Size([2, 1, 8, 8])
    """
    row = spec.row
    check_model_memory(spec, copies=1)
    execution = Execution(backend or get_backend("statevector"), gradient, generator, row.control)
    with _initialized_from(generator):
        model: nn.Module = load_reference(row.builder)(spec, execution, **row.options)
    if spec.variance is not None:
        add_variances(model, spec.name)
    if spec.schedule is not None:
        model.add_module(SCHEDULE_MODULE, LearnedSchedule())
    return model


def unet(spec: ModelSpec, execution: Execution) -> UNet:
    """The classical U-Net; it has no circuits to execute."""
    width, time_features = spec.vertex_channels, 4 * spec.dim
    return _around_vertex(spec, lambda: ResNetBlock(width, width, time_features))


def qvunet(
    spec: ModelSpec, execution: Execution, *, ansatz: str, circuits: int | None = None
) -> UNet:
    """A QVU-Net: `circuits` of one ansatz in each vertex convolution, or circuits only (None)."""
    variational = (
        _full_vertex(spec, ansatz) if circuits is None else [_ansatz(spec, ansatz)] * circuits
    )
    return _around_vertex(spec, partial(_quantum_block, spec, execution, variational))


def _around_vertex(spec: ModelSpec, block: Callable[[], ResNetBlock]) -> UNet:
    over_positions = spec.variant == "released"
    attention = VertexAttention(spec.vertex_channels, over_positions=over_positions)
    vertex = Vertex(block(), attention, block())
    return UNet(vertex, image_size=spec.image_size, channels=spec.channels, dim=spec.dim)


def _quantum_block(
    spec: ModelSpec, execution: Execution, circuits: list[VariationalCircuit]
) -> QuantumResNetBlock:
    width, time_features = spec.vertex_channels, 4 * spec.dim
    released, backend = spec.variant == "released", execution.backend
    first, second = (
        QuantumVertexConv(
            circuits,
            width,
            backend,
            pixel_major=released,
            scaled=spec.variant == SCALED,
            **execution.options,
        )
        for _ in range(2)
    )
    if not released:
        return QuantumResNetBlock(first, second, width, time_features)
    if first.classical is not None:
        return ReusedOutputsBlock(first, second, width, time_features)
    shared = range(width // ANSATZ_CHANNELS, len(circuits))
    return SharedWeightsBlock(first, second, width, time_features, shared=shared)


def quanvunet(spec: ModelSpec, execution: Execution, *, ansatz: str) -> UNet:
    """A QVU-Net of one circuit, with quanvolution in the blocks of the second encoder level.

    The paper speaks of one block and does not say which: it is the first of the level.
    """
    model = qvunet(spec, execution, ansatz=ansatz, circuits=1)
    level = cast("EncoderLevel", model.encoder[QUANVOLUTION_LEVEL])
    spec = replace(spec, ansatz_layers=spec.quanvolution_layers or spec.ansatz_layers)
    level.first = _quanvolutional_block(spec, execution, ansatz)
    if spec.variant != ONE_BLOCK:
        level.second = _quanvolutional_block(spec, execution, ansatz)
    return model


def _quanvolutional_block(spec: ModelSpec, execution: Execution, ansatz: str) -> QuanvResNetBlock:
    # The second level has the first one's width: a level's own is reached by the resizing after it.
    width, released = spec.dim, spec.variant == "released"
    circuit, backend, options = _ansatz(spec, ansatz), execution.backend, execution.options
    first, second = (
        QuanvolutionalConv(
            PatchCircuit(circuit, width, backend, pixel_major=released, **options), width
        )
        for _ in range(2)
    )
    return QuanvResNetBlock(first, second, width, 4 * spec.dim, rereads_input=released)


def wide_unet(spec: ModelSpec, execution: Execution, *, ansatz: str | None = None) -> WideUNet:
    """The wide U-Net, perhaps with one circuit shared by all that is quantum in its vertex."""
    widths, features = wide_widths(spec.image_size, spec.dim), 4 * spec.dim
    if ansatz is not None and spec.variant == REPLACING:
        conv = partial(_replacing_conv, spec, execution, ansatz)
        vertex = WideVertex(widths[-1], widths[-2], features, convolution=conv)
    else:
        circuit = None if ansatz is None else _shared_circuit(spec, execution, ansatz, widths[-2])
        vertex = WideVertex(widths[-1], widths[-2], features, circuit)
    return WideUNet(
        vertex,
        image_size=spec.image_size,
        channels=spec.channels,
        dim=spec.dim,
        released=spec.variant == "released",
    )


def _replacing_conv(
    spec: ModelSpec, execution: Execution, ansatz: str, in_channels: int, out_channels: int
) -> QuantumVertexConv:
    """Return a convolution in which circuits take a tenth of the channels: 4 of them 12 of 128."""
    taken = quantum_channels(out_channels, ANSATZ_CHANNELS)
    return QuantumVertexConv(
        [_ansatz(spec, ansatz)] * (taken // ANSATZ_CHANNELS),
        in_channels,
        execution.backend,
        convolution=lambda rest: Conv3x3(rest, out_channels - taken),
        **execution.options,
    )


def _shared_circuit(
    spec: ModelSpec, execution: Execution, ansatz: str, channels: int
) -> PatchCircuit:
    if spec.variant != "released":
        circuit = _ansatz(spec, ansatz)
        return PatchCircuit(circuit, channels, execution.backend, **execution.options)
    refuse_chosen(spec)
    circuit = released_circuit(ansatz, spec.ansatz_layers)
    made = MixingPatchCircuit(circuit, channels, execution.backend, **execution.options)
    made.reset_weights(execution.generator)
    return made


def light_unet(spec: ModelSpec, execution: Execution) -> LightUNet:
    """The light U-Net without attention: the paper's classical model."""
    return LightUNet(
        None,
        image_size=spec.image_size,
        channels=spec.channels,
        dim=spec.dim,
        frequencies=spec.frequencies or HO,
    )


def qattention_unet(spec: ModelSpec, execution: Execution) -> LightUNet:
    """The light U-Net with quantum attention at its bottleneck."""
    circuit = circuit_at(spec, "qattention", size=ATTENTION_QUBITS, exact=False)
    model = light_unet(spec, execution)
    backend, detached = execution.backend, spec.variant == "released"
    model.attention = QuantumAttention(
        circuit, 4 * spec.dim, backend, detached=detached, **execution.options
    )
    return model


def qbottleneck_unet(spec: ModelSpec, execution: Execution) -> QuantumBottleneckUNet:
    """Linear layers around a circuit with weights for each time step and class."""
    if spec.timesteps is None or spec.classes is None or spec.skip is None:
        raise ValueError(f"{spec.name} is a model of states")
    real = spec.variant == "released"
    circuit = build_ansatz(
        "brickwork",
        qubits=spec.dim.bit_length() - 1,
        layers=spec.ansatz_layers,
        angles="inputs",
        amplitudes="real" if real else "complex",
    )
    amplitudes = spec.dim if real else 2 * spec.dim
    vertex = QuantumBottleneck(
        bottleneck_circuit(spec, circuit, amplitudes),
        execution.backend,
        amplitudes=amplitudes,
        observables=spec.dim,
        timesteps=spec.timesteps,
        classes=max(1, len(spec.classes)),
        **execution.options,
    )
    size, channels, dim = spec.image_size, spec.channels, spec.dim
    width = channels * size**2
    encoder = real_encoder(2 * width, dim) if real else complex_encoder(width, dim)
    return QuantumBottleneckUNet(
        encoder, vertex, image_size=size, channels=channels, features=dim, skip=spec.skip
    )


def latent_mlp(spec: ModelSpec, execution: Execution) -> LatentDiffusion:
    """The classical denoiser of latents, of 60 times as many weights as the circuit's."""
    hidden = LATENT_HIDDEN

    def vertex(features: int) -> nn.Module:
        first, second = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), nn.Linear(hidden, spec.dim))

    return _of_latents(spec, vertex)


def qlatent(spec: ModelSpec, execution: Execution) -> LatentDiffusion:
    """A denoiser of latents that is circuits between two linear maps."""
    circuit = circuit_at(spec, "reupload", size=spec.dim, exact=False)
    check_fit(circuit, str(spec.ansatz), spec.dim)

    def vertex(features: int) -> nn.Module:
        return CircuitDenoiser(
            [circuit] * (spec.circuits or 1),
            execution.backend,
            features=features,
            latents=spec.dim,
            **execution.options,
        )

    return _of_latents(spec, vertex)


def _of_latents(spec: ModelSpec, vertex: Callable[[int], nn.Module]) -> LatentDiffusion:
    size, channels, latents = spec.image_size, spec.channels, spec.dim
    autoencoder = Autoencoder(image_size=size, channels=channels, latents=latents)
    classes = len(spec.classes or ())
    features = LatentDiffusion.features(latents, classes)
    return LatentDiffusion(autoencoder, vertex(features), classes)


def _full_vertex(spec: ModelSpec, ansatz: str) -> list[VariationalCircuit]:
    """Circuits of 3 channels, then one basic entangling circuit per channel that is left."""
    many, rest = divmod(spec.vertex_channels, ANSATZ_CHANNELS)
    last = circuit_at(spec, "basic_entangling", size=PIXELS, fixed=True)
    return [_ansatz(spec, ansatz)] * many + [last] * rest


def _ansatz(spec: ModelSpec, name: str) -> VariationalCircuit:
    return circuit_at(spec, name, size=ANSATZ_CHANNELS * PIXELS)


@contextmanager
def _initialized_from(generator: torch.Generator | None) -> Iterator[None]:
    """Seed torch's global generator, which its modules start from, for the time of the block."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the accelerators too, which fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        yield
