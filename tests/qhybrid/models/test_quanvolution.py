import pytest
import torch

from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.quanvolution import QuanvolutionalConv, QuanvResNetBlock
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_runtime import get_backend


def _conv(generator: torch.Generator, channels: int = 3) -> QuanvolutionalConv:
    circuit = build_ansatz("fqconv", channels=1, layers=1)
    quantum = PatchCircuit(circuit, channels, get_backend("statevector"), generator=generator)
    return QuanvolutionalConv(quantum, channels)


def test_the_circuit_takes_the_first_channels_and_the_others_are_convolved(
    generator: torch.Generator,
) -> None:
    conv = _conv(generator)
    x = torch.randn(2, 3, 4, 4, generator=generator)
    assert conv.classical is not None
    assert conv.classical.weight.shape == (2, 2, 3, 3)
    torch.testing.assert_close(conv(x)[:, :1], conv.circuit(x[:, :1]))
    torch.testing.assert_close(conv(x)[:, 1:], conv.classical(x[:, 1:]))
    assert conv(x).abs()[:, :1].max() <= 1 + 1e-6


def test_without_other_channels_there_is_no_convolution(generator: torch.Generator) -> None:
    conv = _conv(generator, channels=1)
    assert conv.classical is None
    assert conv(torch.zeros(1, 1, 2, 2)).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("released", [False, True])
def test_what_the_second_circuit_reads(released: bool, generator: torch.Generator) -> None:
    """Departure 5 of the released code: the block's input."""
    block = QuanvResNetBlock(_conv(generator), _conv(generator), 3, 8, rereads_input=released)
    x, time = torch.randn(2, 3, 4, 4, generator=generator), torch.randn(2, 8, generator=generator)
    read: list[torch.Tensor] = []
    block.second.circuit.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    block(x, time)
    hidden = block.modulate(block.first(x), time)
    torch.testing.assert_close(read[0], (x if released else hidden)[:, :1])
    assert not torch.allclose(hidden, x)


def test_one_block_has_quanvolution_in_the_first_block_alone(generator: torch.Generator) -> None:
    both, one = (
        build_model(ModelSpec("quanvunet", 8, variant=variant), generator=generator)
        for variant in ("paper", "one-block")
    )
    assert isinstance(both.encoder[1].second, QuanvResNetBlock)
    assert isinstance(one.encoder[1].first, QuanvResNetBlock)
    assert type(one.encoder[1].second) is ResNetBlock
    assert not one.encoder[1].first.rereads_input


def test_the_encoder_may_have_other_layers_than_the_vertex() -> None:
    spec = ModelSpec("fqconv-quanvunet", 8, ansatz_layers=1, quanvolution_layers=2)
    model = build_model(spec)
    blocks = (model.encoder[1].first, model.encoder[1].second)
    convs = [conv for block in blocks for conv in (block.first, block.second)]
    assert [conv.circuit.weight.numel() for conv in convs] == [48] * 4
    assert model.vertex.first.first.circuit_weights(0).numel() == 24


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_second_encoder_level_is_quanvolutional(size: int, variant: str) -> None:
    model = build_model(ModelSpec("quanvunet", size, ansatz_layers=1, variant=variant))
    for index, level in enumerate(model.encoder):
        for block in (level.first, level.second):
            assert isinstance(block, QuanvResNetBlock) == (index == 1)
    blocks = (model.encoder[1].first, model.encoder[1].second)
    assert all(block.rereads_input == (variant == "released") for block in blocks)
    circuits = [conv.circuit for block in blocks for conv in (block.first, block.second)]
    assert len({id(circuit) for circuit in circuits}) == 4
    seen: list[int] = []
    for circuit in circuits:
        circuit.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    with torch.no_grad():
        images = torch.zeros(1, 1, size, size)
        assert model(images, torch.tensor([3])).shape == images.shape
    assert seen == [size // 2] * 4
