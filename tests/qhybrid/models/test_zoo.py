import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from zoo_checks import batch, convs, generator

from qhybrid.models.catalog import catalog
from qhybrid.models.control import circuit_places
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import CONDITIONAL, HYBRIDS_WITH_CONTROL, MODEL_NAMES, MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.errors import CircuitError, UnknownNameError
from qhybrid_runtime import CircuitBank, QuantumLayer
from qhybrid_runtime.health import influence

# De Falco et al. 2024: published counts; those of FQConv follow from its 24 weights a layer. The
# QuanvU-Net's is that of the released code (the paper's own, 474,293, does not follow from its
# description), the wide U-Nets' are those of the report's code less a circuit that it never uses.
# Chen et al. 2025 print none: those of the light U-Nets are derived in test_light_unet.py.
PARAMETERS = {
    "unet": 483_321,
    "wide-unet": 6_884_273,
    "light-unet": 445_985,
    "1hqconv-qvunet": 475_329,
    "7hqconv-qvunet": 440_985,
    "fullhqconv-qvunet": 429_993,
    "1fqconv-qvunet": 475_281,
    "7fqconv-qvunet": 440_649,
    "fullfqconv-qvunet": 429_369,
    "quanvunet": 473_817,
    "fqconv-quanvunet": 473_721,
    "hqconv-wide-unet": 6_884_301,
    "fqconv-wide-unet": 6_884_297,
    "qattention-unet": 450_273,
    # Jo et al. 2026 print none: 16x16, so 256 complex numbers; 16 amplitudes, 255 Pauli strings to
    # 16 observables, 160 angles for 10 time steps and 10 classes.
    "qbottleneck-unet": 2 * 257 * (256 + 16) + 256 + 16_000 + 256 * 16 + (529 + 513) * 512,
    # Ours, of 12 latents: 8 features of the noise beside them, 36 angles, 24 outputs.
    "latent-mlp": 21 * 256 + 257 * 256 + 257 * 12,
    "qlatent": 21 * 36 + 60 + 25 * 12,
    # Ours, of 2 qubits and an ancilla: at each of 8 steps 3 layers of 6 rotations of qubits and 6
    # of pairs, and 4 at the end.
    "qreverse": 8 * (3 * 12 + 4),
}
RELEASED = {
    # Its encoder is real: 512 to 512 to 16, then normalized.
    "qbottleneck-unet": 513 * 512 + 513 * 16 + 32 + 16_000 + 256 * 16 + (529 + 513) * 512,
}
PARAMETERS |= {name + CONTROL: PARAMETERS[name] for name in HYBRIDS_WITH_CONTROL}

# De Falco et al. 2024 print 474,293 for the QuanvU-Net of one block, and have 3 layers in every
# circuit; with 1 layer at the vertex and 2 in the encoder it is exactly theirs. The last two are
# derived: 4 circuits in the place of 12 channels of each of four convolutions, that is
# 256 * 128 * 9 + 128 - (244 * 116 * 9 + 116) = 40,188 and 3 (128 * 128 * 9 - 116 * 116 * 9 + 12)
# = 79,092 weights less, and 16 * 28 or 16 * 24 more.
PARAMETERS_OF_VARIANTS = {
    ("quanvunet", "one-block"): 474_573,
    ("quanvunet", "one-block", 1, 2): 474_293,
    ("fqconv-quanvunet", "one-block"): 474_501,
    ("hqconv-wide-unet", "replacing"): 6_884_273 - 40_188 - 79_092 + 448,
    ("fqconv-wide-unet", "replacing"): 6_884_273 - 40_188 - 79_092 + 384,
}

# Rounds per denoising step, and circuits evaluated in them for one image of 28x28: four vertex
# convolutions of 1, 7 or 14 circuits, four convolutions of 49 patches, groups of 3 of 24 + 12; or
# one circuit for all channels.
ROUNDS = {
    "1": (4, 4),
    "7": (4, 28),
    "full": (4, 56),
    "quanv": (8, 200),
    "wide": (2, 12),
    "qattention": (1, 1),
    "qbottleneck": (1, 1),
    "qlatent": (1, 1),
    "qreverse": (1, 16),
}
ENTRIES = {entry["name"]: entry for entry in catalog()}


def _quantum_layers(model: torch.nn.Module) -> list[QuantumLayer]:
    return [m for m in model.modules() if isinstance(m, QuantumLayer)]


@contextmanager
def _evaluations(model: torch.nn.Module) -> Iterator[list[int]]:
    """Circuits that each round evaluates, a batch counted in full."""
    rounds: list[int] = []
    hooks = [
        bank.register_forward_pre_hook(
            lambda _, args: rounds.append(sum(math.prod(x.shape[:-1]) for x in args[0]))
        )
        for bank in model.modules()
        if isinstance(bank, CircuitBank)
    ]
    yield rounds
    for hook in hooks:
        hook.remove()


@pytest.fixture(scope="module", params=MODEL_NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_catalog_lists_every_model_in_order() -> None:
    assert tuple(ENTRIES) == MODEL_NAMES == tuple(PARAMETERS)
    assert all("\n" not in entry["summary"] and entry["paper"] for entry in ENTRIES.values())


@pytest.mark.parametrize("variant", [0, -1])
def test_parameters_are_the_published_ones(name: str, variant: int) -> None:
    variants = [each for each in MODELS[name].variants if each != CONDITIONAL]  # has more inputs
    model = build_model(ModelSpec(name, variant=variants[variant]))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    expected = PARAMETERS[name]
    if variants[variant] == "released":
        expected = RELEASED.get(name.removesuffix(CONTROL), expected)
    assert trained == expected
    assert ENTRIES[name]["parameters"] == PARAMETERS[name]
    saved = model.state_dict().items()
    assert sum(t.numel() for key, t in saved if not key.startswith("autoencoder.")) == trained


@pytest.mark.parametrize("control", ["", CONTROL])
@pytest.mark.parametrize("case", PARAMETERS_OF_VARIANTS, ids=str)
def test_parameters_of_variants(case: tuple, control: str) -> None:
    name, variant, *layers = case
    sizes = dict(zip(("ansatz_layers", "quanvolution_layers"), layers, strict=False))
    model = build_model(ModelSpec(name + control, variant=variant, **sizes))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS_OF_VARIANTS[case]


@pytest.mark.parametrize(
    ("name", "variant", "rounds"),
    [("quanvunet", "one-block", (6, 4 + 2 * 49)), ("hqconv-wide-unet", "replacing", (4, 16))],
)
def test_circuits_of_variants(name: str, variant: str, rounds: tuple[int, int]) -> None:
    model = build_model(ModelSpec(name, variant=variant))
    with _evaluations(model) as found, torch.no_grad():
        model(torch.zeros(1, 1, 28, 28), torch.tensor([5]))
    assert (len(found), sum(found)) == rounds


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("quanvunet", "one-block"),
        ("fqconv-quanvunet", "one-block"),
        ("hqconv-wide-unet", "replacing"),
    ],
)
def test_gradients_of_variants_are_differences(name: str, variant: str) -> None:
    """In double precision, of a weight of every circuit, one beside them and one of the stem."""
    spec = ModelSpec(name, 8, dim=8, ansatz_layers=1, variant=variant)
    model = build_model(spec, generator=generator()).double()
    images, times = batch()
    images = images.double()
    model(images, times).square().sum().backward()
    weights = [layer.weight for layer in _quantum_layers(model)]
    parameters = dict(model.named_parameters())
    weights += [parameters["stem.weight"], parameters["vertex.first.first.classical.weight"]]
    assert all(w.grad is not None and w.grad.any() for w in weights)
    for weight in weights:
        flat, place = weight.data.view(-1), int(weight.grad.abs().argmax())
        values = []
        for step in (1e-5, -2e-5):
            flat[place] += step
            with torch.no_grad():
                values.append(float(model(images, times).square().sum()))
        flat[place] += 1e-5
        expected = (values[0] - values[1]) / 2e-5
        assert float(weight.grad.view(-1)[place]) == pytest.approx(expected, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", ["1hqconv-qvunet", "1fqconv-qvunet-control"])
def test_scaled_models_have_the_papers_weights_and_more_influence(name: str) -> None:
    paper, scaled = (
        build_model(ModelSpec(name, 8, ansatz_layers=1, variant=variant), generator=generator())
        for variant in ("paper", "scaled")
    )
    theirs, ours = paper.state_dict(), scaled.state_dict()
    assert list(theirs) == list(ours)
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)
    changes = [
        influence(model, batch(), modules=circuit_places(model)).mean.output
        for model in (paper, scaled)
    ]
    assert changes[1] > 4 * changes[0]


@pytest.mark.parametrize("name", ["7hqconv-qvunet", "fullhqconv-qvunet", "unet"])
def test_models_that_need_no_scale_have_none(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant 'scaled'"):
        ModelSpec(name, variant="scaled")


def test_circuits_are_those_of_the_catalog(name: str) -> None:
    spec = ModelSpec(name)
    model, entry = build_model(spec), ENTRIES[name]
    with _evaluations(model) as rounds, torch.no_grad():
        model(torch.randn(1, *spec.input_shape, generator=generator()), torch.tensor([5]))
    assert (entry["rounds_per_step"], entry["circuits_per_step"]) == (len(rounds), sum(rounds))
    kind = [key for key in ROUNDS if key in name]
    without = not MODELS[name].circuits
    assert (len(rounds), sum(rounds)) == ((0, 0) if without else ROUNDS[kind[0]])
    layers = _quantum_layers(model)
    assert bool(layers) != without
    most = max((layer.variational.num_qubits for layer in layers), default=0)
    assert entry["qubits"] == most


def _cancelled_biases(model: torch.nn.Module) -> set[str]:
    """Biases that the norm after them takes away: a group of one channel has its own mean.

    So it is in the paper's blocks of width 10 with GroupNorm(10), and in its parameter counts.
    """
    return {
        f"{name}.{parameter}"
        for name, block in model.named_modules()
        if isinstance(block, ResNetBlock)
        and block.first_norm.num_groups == block.first_norm.num_channels
        for parameter, _ in block.named_parameters()
        if parameter.partition(".")[0] in ("first", "second") and parameter.endswith("bias")
    }


def test_gradient_reaches_every_parameter(name: str) -> None:
    """In double precision, where a gradient that is zero but for rounding is below 1e-15."""
    if MODELS[name].conditions:
        pytest.skip("it takes no images, see test_quantum_bottleneck.py and test_latent.py")
    model = build_model(ModelSpec(name, image_size=8), generator=generator()).double()
    images, times = batch()
    model(images.double(), times).square().sum().backward()
    parameters = dict(model.named_parameters())
    assert all(p.grad is not None for p in parameters.values())
    without = {n for n, p in parameters.items() if p.grad.abs().max() < 1e-12}
    assert without == _cancelled_biases(model)
    weights = [layer.weight for layer in _quantum_layers(model)]
    dead = sum(int((weight.grad.abs() < 1e-12).sum()) for weight in weights)
    assert dead == ENTRIES[name]["dead_weights"]
    assert sum(w.numel() for w in weights) - dead == ENTRIES[name]["weights_with_effect"]


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
    first, again = (build_model(spec, generator=generator(3)).state_dict() for _ in range(2))
    other = build_model(spec, generator=generator(4)).state_dict()
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
    for conv in convs(build_model(ModelSpec("fullfqconv-qvunet", image_size=8, dim=2))):
        assert conv.circuit_channels == [3, 3, 1, 1]
        assert conv.classical is None
