"""What the released code does otherwise than the paper."""

import torch
from zoo_checks import batch, convs, generator

from qhybrid.models.quantum_vertex import (
    QuantumResNetBlock,
    QuantumVertexConv,
    ReusedOutputsBlock,
    SharedWeightsBlock,
)
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model


def _released(name: str) -> torch.nn.Module:
    spec = ModelSpec(name, image_size=8, dim=2, ansatz_layers=1, variant="released")
    return build_model(spec, generator=generator())


def test_released_models_flatten_pixel_major() -> None:
    """Departure 2."""
    assert all(conv.pixel_major for conv in convs(_released("1fqconv-qvunet")))
    paper = build_model(ModelSpec("1fqconv-qvunet", 8, dim=2, ansatz_layers=1))
    assert not any(conv.pixel_major for conv in convs(paper))
    assert all(type(b) is QuantumResNetBlock for b in (paper.vertex.first, paper.vertex.second))


def test_released_partial_vertex_reuses_the_first_outputs() -> None:
    """Departure 3: the second convolution's circuits are never evaluated."""
    model = _released("1hqconv-qvunet")
    blocks = [m for m in model.modules() if isinstance(m, ReusedOutputsBlock)]
    assert len(blocks) == 2
    measured: list[QuantumVertexConv] = []
    joined: list[torch.Tensor] = []
    for block in blocks:
        for conv in (block.first, block.second):
            conv.bank.register_forward_hook(lambda *_, conv=conv: measured.append(conv))
        block.second_norm.register_forward_hook(lambda _, args, __: joined.append(args[0]))
        block.first_norm.register_forward_hook(lambda _, args, __: joined.append(args[0]))
    images, times = batch()
    before = model(images, times)
    assert measured == [block.first for block in blocks]
    torch.testing.assert_close(joined[0][:, :3], joined[1][:, :3])
    assert not torch.allclose(joined[0][:, 3:], joined[1][:, 3:])
    for block in blocks:
        block.second.bank.layers[0].weight.data.add_(0.3)
    assert torch.equal(model(images, times), before)
    before.square().sum().backward()
    for block in blocks:
        assert block.second.bank.layers[0].weight.grad is None
        assert block.first.bank.layers[0].weight.grad.any()


def test_released_full_vertex_shares_the_last_circuits_weights() -> None:
    """Departure 4, and no departure 3: the other circuits of the second convolution are its own."""
    model = _released("fullfqconv-qvunet")
    block = model.vertex.first
    assert isinstance(block, SharedWeightsBlock)
    assert block.shared == (2, 3)
    x, time = torch.randn(2, 8, 2, 2, generator=generator(5)), torch.randn(2, 8)
    before = block(x, time)
    before.square().sum().backward()
    for index in range(4):
        own = block.second.bank.layers[index].weight.grad
        assert (own is None) == (index in block.shared)
        assert block.first.bank.layers[index].weight.grad.any()

    block.second.bank.layers[3].weight.data.add_(0.3)
    assert torch.equal(block(x, time), before)
    unshared = QuantumResNetBlock.forward
    assert not torch.allclose(unshared(block, x, time), before)
    for index in block.shared:
        own = block.second.bank.layers[index].weight
        own.data.copy_(block.first.bank.layers[index].weight)
    torch.testing.assert_close(unshared(block, x, time), before)
    block.second.bank.layers[0].weight.data.add_(0.3)
    assert not torch.allclose(block(x, time), before)


def test_released_models_normalize_over_positions() -> None:
    """Departure 6, the only one of the classical U-Net."""
    released = _released("unet")
    spec = ModelSpec("unet", image_size=8, dim=2, ansatz_layers=1)
    paper = build_model(spec, generator=generator())
    x = torch.randn(2, 8, 2, 2, generator=generator(5))
    ours, theirs = paper.vertex.attention, released.vertex.attention
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())
    assert not torch.allclose(ours(x), theirs(x))
    assert torch.equal(
        paper.vertex.first(x, x[:, :, 0, 0]), released.vertex.first(x, x[:, :, 0, 0])
    )


def test_released_hqconv_is_the_released_ansatz() -> None:
    """Departure 1: only the first 4 weights of a layer act."""
    model = _released("1hqconv-qvunet").double()
    images, times = batch()
    model(images.double(), times).square().sum().backward()
    gradient = model.vertex.first.first.bank.layers[0].weight.grad.abs()
    assert int((gradient > 1e-12).sum()) <= 4
    assert gradient.max() > 0
