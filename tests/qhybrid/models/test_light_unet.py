from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from qhybrid.models.light_unet import LightResNetBlock, LightUNet
from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model, save_model
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import ShapeError, UnknownNameError


def build(name: str = "light-unet", size: int = 8, **settings: object) -> LightUNet:
    generator = torch.Generator().manual_seed(0)
    return build_model(ModelSpec(name, size, **settings), generator=generator)


def parameters(dim: int, channels: int, attention: int = 0) -> int:
    """By hand: 3x3 convolutions have 9 weights a pair of channels, transposed ones 4."""

    def conv(a: int, b: int, pixels: int = 9) -> int:
        return pixels * a * b + b

    d, w = dim, 4 * dim
    encoder = conv(channels, d) + conv(d, 2 * d) + conv(2 * d, w)
    bottleneck = conv(w, w, pixels=1) + 2 * conv(w, w)
    decoder = conv(w, 2 * d, pixels=4) + conv(2 * d, d, pixels=4) + conv(2 * d, channels)
    projections = conv(w, 16, pixels=1) + conv(16, w, pixels=1) if attention else 0
    return encoder + bottleneck + decoder + projections + attention


@pytest.mark.parametrize("dim", [2, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_parameters_derived_by_hand(dim: int, channels: int) -> None:
    for name, weights in (("light-unet", 0), ("qattention-unet", 48)):
        model = build(name, channels=channels, dim=dim)
        counted = sum(p.numel() for p in model.parameters())
        assert counted == parameters(dim, channels, weights)
    assert parameters(32, 1) == 434 * 32**2 + 49 * 32 + 1
    assert parameters(32, 1, 48) - parameters(32, 1) == 128 * 16 + 16 + 16 * 128 + 128 + 48


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    model = build("qattention-unet", size, channels=channels, dim=4)
    seen: list[torch.Size] = []
    model.attention.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.no_grad():
        images = torch.randn(2, channels, size, size)
        assert model(images, torch.tensor([5, 6])).shape == images.shape
    assert seen == [(2, 16, size // 4, size // 4)]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(B, 1, 8, 8\)"):
        build(dim=2)(torch.zeros(1, 3, 8, 8), torch.tensor([1]))
    with pytest.raises(ShapeError, match=r"\(2,\), one time per image"):
        build(dim=2)(torch.zeros(2, 1, 8, 8), torch.tensor([1]))


def test_block_against_its_definition(generator: torch.Generator) -> None:
    block = LightResNetBlock(4)
    x = torch.randn(2, 4, 3, 3, generator=generator)
    inner = F.conv2d(x, block.first.weight, block.first.bias, padding=1).clamp(min=0)
    inner = F.conv2d(inner, block.second.weight, block.second.bias, padding=1)
    torch.testing.assert_close(block(x), (x + inner).clamp(min=0))


@pytest.mark.parametrize("own", ["ho2020", "chen2025"])
def test_network_against_its_definition(own: str, generator: torch.Generator) -> None:
    """Layer after layer in plain torch: where the time enters, and what the one skip carries."""
    model = build(dim=2, frequencies=own)
    x, time = torch.randn(2, 1, 8, 8, generator=generator), torch.tensor([3, 700])
    p = model.state_dict()

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride, padding=1)

    def widen(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride=2).clamp(min=0)

    skip = conv("stem", x).clamp(min=0)
    low = conv("downsamples.0", skip, stride=2).clamp(min=0)
    low = conv("downsamples.1", low, stride=2).clamp(min=0)
    exponents = torch.linspace(0, 1, 4) if own == "ho2020" else torch.arange(1, 5) / 4
    angles = time[:, None] * 10_000.0**-exponents
    embedded = torch.cat([angles.sin(), angles.cos()], dim=1)
    low = low + (embedded @ p["time.1.weight"].T + p["time.1.bias"])[:, :, None, None]
    low = (low + conv("block.second", conv("block.first", low).clamp(min=0))).clamp(min=0)
    high = widen("upsamples.1", widen("upsamples.0", low))
    expected = conv("output", torch.cat([high, skip], dim=1))
    torch.testing.assert_close(model(x, time), expected)


def test_the_hybrid_is_the_classical_model_but_for_its_attention() -> None:
    classical, hybrid = (build(name).state_dict() for name in ("light-unet", "qattention-unet"))
    assert {key.partition(".")[0] for key in hybrid.keys() - classical.keys()} == {"attention"}
    assert all(torch.equal(tensor, hybrid[name]) for name, tensor in classical.items())


@pytest.mark.parametrize("variant", ["trainable", "paper", "released"])
def test_save_and_load(variant: str, tmp_path: Path, generator: torch.Generator) -> None:
    spec = ModelSpec("qattention-unet", 8, 3, dim=4, variant=variant)
    model = build_model(spec, generator=generator)
    save_model(model, spec, tmp_path)
    assert read_spec(tmp_path) == spec
    images, times = torch.randn(2, 3, 8, 8, generator=generator), torch.tensor([1, 900])
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(images, times), model(images, times))


def test_each_model_has_its_own_variants() -> None:
    assert ModelSpec("qattention-unet").variant == "trainable"
    assert ModelSpec("qattention-unet-control", variant="released").dim == 32
    assert ModelSpec("light-unet").variant == ModelSpec("unet").variant == "paper"
    with pytest.raises(UnknownNameError, match=r"known: trainable, paper, released; .*qattention-"):
        ModelSpec("qattention-unet", variant="scaled")
    with pytest.raises(UnknownNameError, match=r"known: paper, scaled, released; .*1hqconv-qvunet"):
        ModelSpec("1hqconv-qvunet", variant="published")


def test_records_of_earlier_versions_keep_their_meaning() -> None:
    """`published` was the circuit of paper and code with the code's detached inputs."""
    old = {"name": "qattention-unet", "image_size": 8, "dim": 4, "variant": "published"}
    spec = ModelSpec.from_dict(old)
    assert (spec.variant, spec.frequencies) == ("released", "ho2020")
    assert spec == ModelSpec("qattention-unet", 8, dim=4, variant="released")
    assert ModelSpec("qattention-unet", variant="paper").frequencies == "chen2025"
    for name in ("light-unet", "qattention-unet"):
        assert ModelSpec.from_dict({"name": name}).frequencies == "ho2020"
    assert "frequencies" not in ModelSpec("unet").to_dict()


def test_three_variants_differ_in_the_circuit_and_in_what_is_trained_through_it() -> None:
    """All else is the same tensor for tensor; the code's gradient stops before the circuit."""
    batch = torch.ones(2, 1, 8, 8), torch.tensor([3, 700])
    reached, gates = {}, {}
    for variant in ("trainable", "paper", "released"):
        model = build("qattention-unet", dim=4, variant=variant, frequencies="ho2020")
        model(*batch).square().sum().backward()
        gradient = model.attention.project_in.weight.grad
        reached[variant] = gradient is not None and bool(gradient.any())
        (layer,) = model.attention.bank.layers
        gates[variant] = set(layer.variational.circuit.count_ops())
    assert reached == {"trainable": True, "paper": True, "released": False}
    assert gates == {
        "trainable": {"ry", "cz"},
        "paper": {"ry", "rz", "cx"},
        "released": {"ry", "rz", "cx"},
    }
    paper, released = (
        build("qattention-unet", dim=4, variant=variant, frequencies="ho2020")
        for variant in ("paper", "released")
    )
    assert torch.equal(paper(*batch), released(*batch))
