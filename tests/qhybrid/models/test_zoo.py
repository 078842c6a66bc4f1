import pytest
import torch

from qhybrid.models import MODEL_NAMES, ModelSpec, build_model, catalog
from qhybrid.models.quantum_vertex import (
    QuantumResNetBlock,
    QuantumVertexConv,
    ReusedOutputsBlock,
    SharedWeightsBlock,
)
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid_circuits.errors import CircuitError

# De Falco et al. 2024: published counts; those of FQConv follow from its 24 weights a layer.
PARAMETERS = {
    "unet": 483_321,
    "1hqconv-qvunet": 475_329,
    "7hqconv-qvunet": 440_985,
    "fullhqconv-qvunet": 429_993,
    "1fqconv-qvunet": 475_281,
    "7fqconv-qvunet": 440_649,
    "fullfqconv-qvunet": 429_369,
}
CIRCUITS = {"unet": 0, "1": 1, "7": 7, "full": 14}
ENTRIES = {entry["name"]: entry for entry in catalog()}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _convs(model: torch.nn.Module) -> list[QuantumVertexConv]:
    return [m for m in model.modules() if isinstance(m, QuantumVertexConv)]


def _batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 1, 8, 8, generator=_generator(seed)), torch.tensor([20, 700])


@pytest.fixture(scope="module", params=MODEL_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_catalog_lists_every_model_in_order() -> None:
    assert tuple(ENTRIES) == MODEL_NAMES == tuple(PARAMETERS)
    assert all("\n" not in entry["summary"] and entry["paper"] for entry in ENTRIES.values())


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_parameters_are_the_published_ones(name: str, variant: str) -> None:
    model = build_model(ModelSpec(name, variant=variant))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == PARAMETERS[name] == ENTRIES[name]["parameters"]
    assert sum(t.numel() for t in model.state_dict().values()) == trained


def test_circuits_are_those_of_the_catalog(name: str) -> None:
    convs = _convs(build_model(ModelSpec(name)))
    entry = ENTRIES[name]
    assert len(convs) == entry["rounds_per_step"]
    per_conv = CIRCUITS[name.partition("hqconv")[0].partition("fqconv")[0]]
    assert sum(len(conv.bank.layers) for conv in convs) == 4 * per_conv
    assert entry["circuits_per_step"] == 4 * per_conv
    most = max((4 * count for conv in convs for count in conv.circuit_channels), default=0)
    assert entry["qubits"] == most


def _cancelled_biases(model: torch.nn.Module) -> set[str]:
    """Biases that the norm after them takes away: a group of one channel has its own mean.

    So it is in the paper's blocks of width 10 with GroupNorm(10), and in its parameter counts.
    """
    return {
        f"{name}.{conv}.bias"
        for name, block in model.named_modules()
        if isinstance(block, ResNetBlock)
        and block.first_norm.num_groups == block.first_norm.num_channels
        for conv in ("first", "second")
    }


def test_gradient_reaches_every_parameter(name: str) -> None:
    """In double precision, where a gradient that is zero but for rounding is below 1e-15."""
    model = build_model(ModelSpec(name, image_size=8), generator=_generator()).double()
    images, times = _batch()
    model(images.double(), times).square().sum().backward()
    parameters = dict(model.named_parameters())
    assert all(p.grad is not None for p in parameters.values())
    without = {n for n, p in parameters.items() if p.grad.abs().max() < 1e-12}
    assert without == _cancelled_biases(model)
    weights = [layer.weight for conv in _convs(model) for layer in conv.bank.layers]
    dead = sum(int((weight.grad.abs() < 1e-12).sum()) for weight in weights)
    assert dead == ENTRIES[name]["dead_weights"]


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_a_hybrid(size: int, channels: int) -> None:
    model = build_model(ModelSpec("1fqconv-qvunet", size, channels, ansatz_layers=1))
    images = torch.randn(1, channels, size, size)
    with torch.no_grad():
        assert model(images, torch.tensor([5])).shape == images.shape


def test_one_generator_makes_all_weights() -> None:
    spec = ModelSpec("1hqconv-qvunet", image_size=8, dim=2)
    before = torch.random.get_rng_state()
    first, again = (build_model(spec, generator=_generator(3)).state_dict() for _ in range(2))
    other = build_model(spec, generator=_generator(4)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["stem.weight"], other["stem.weight"])
    circuit = "vertex.first.first.bank.layers.0.weight"
    assert not torch.equal(first[circuit], other[circuit])
    assert first[circuit].min() >= 0
    assert first[circuit].max() < 1
    assert not torch.equal(first[circuit], first["vertex.first.second.bank.layers.0.weight"])


def test_a_vertex_too_narrow_for_the_circuits_is_refused() -> None:
    with pytest.raises(CircuitError, match="20 channels, but its 7 circuits take 21"):
        build_model(ModelSpec("7hqconv-qvunet", dim=5))


def test_the_full_vertex_uses_up_any_width() -> None:
    for conv in _convs(build_model(ModelSpec("fullfqconv-qvunet", image_size=8, dim=2))):
        assert conv.circuit_channels == [3, 3, 1, 1]
        assert conv.classical is None


def _released(name: str) -> torch.nn.Module:
    spec = ModelSpec(name, image_size=8, dim=2, ansatz_layers=1, variant="released")
    return build_model(spec, generator=_generator())


def test_released_models_flatten_pixel_major() -> None:
    """Departure 2."""
    assert all(conv.pixel_major for conv in _convs(_released("1fqconv-qvunet")))
    paper = build_model(ModelSpec("1fqconv-qvunet", 8, dim=2, ansatz_layers=1))
    assert not any(conv.pixel_major for conv in _convs(paper))
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
    images, times = _batch()
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
    x, time = torch.randn(2, 8, 2, 2, generator=_generator(5)), torch.randn(2, 8)
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
    paper = build_model(spec, generator=_generator())
    x = torch.randn(2, 8, 2, 2, generator=_generator(5))
    ours, theirs = paper.vertex.attention, released.vertex.attention
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())
    assert not torch.allclose(ours(x), theirs(x))
    assert torch.equal(
        paper.vertex.first(x, x[:, :, 0, 0]), released.vertex.first(x, x[:, :, 0, 0])
    )


def test_released_hqconv_is_the_released_ansatz() -> None:
    """Departure 1: only the first 4 weights of a layer act."""
    model = _released("1hqconv-qvunet").double()
    images, times = _batch()
    model(images.double(), times).square().sum().backward()
    gradient = model.vertex.first.first.bank.layers[0].weight.grad.abs()
    assert int((gradient > 1e-12).sum()) <= 4
    assert gradient.max() > 0
