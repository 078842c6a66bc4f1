import math

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from torch import nn

from qhybrid.models.spec import ModelSpec
from qhybrid.models.wide_blocks import WideVertex, quantum_channels
from qhybrid.models.wide_released import released_circuit
from qhybrid.models.wide_unet import WideUNet, wide_widths
from qhybrid.models.zoo import build_model
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_circuits.errors import RequestError, ShapeError


def _build(name: str = "hqconv-wide-unet", size: int = 8, **settings: object) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return build_model(ModelSpec(name, size, dim=8, **settings), generator=generator)


def test_widths_and_own_size() -> None:
    spec = ModelSpec("hqconv-wide-unet")
    assert (spec.dim, spec.ansatz_layers) == (32, 1)
    assert wide_widths(28, spec.dim) == [32, 64, 128, 256]
    assert wide_widths(8, 32) == [32, 64, 128]
    assert wide_widths(32, 32) == [32, 64, 128, 256, 256]
    with pytest.raises(RequestError, match="multiple of 8, but is 10; the paper's is 32"):
        ModelSpec("wide-unet", dim=10)


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size: int, channels: int) -> None:
    model = _build(size=size, channels=channels)
    seen: list[torch.Size] = []
    model.vertex.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    with torch.no_grad():
        images = torch.randn(2, channels, size, size)
        assert model(images, torch.tensor([5, 6])).shape == images.shape
    assert seen == [(2, wide_widths(size, 8)[-1], 2, 2)]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(B, 1, 8, 8\)"):
        _build()(torch.zeros(1, 1, 28, 28), torch.tensor([1]))
    with pytest.raises(ShapeError, match=r"\(2,\), one time per image"):
        _build()(torch.zeros(2, 1, 8, 8), torch.tensor([1]))


def test_a_tenth_of_the_channels_goes_through_one_shared_circuit() -> None:
    assert [quantum_channels(width, 3) for width in (256, 128, 64, 8)] == [24, 12, 6, 3]
    model = build_model(ModelSpec("fqconv-wide-unet"))
    assert isinstance(model, WideUNet)
    rows: list[torch.Size] = []
    circuit = model.vertex.circuit
    circuit.bank.register_forward_pre_hook(lambda _, args: rows.append(args[0][0].shape))
    with torch.no_grad():
        model(torch.zeros(2, 1, 28, 28), torch.tensor([5, 6]))
    assert rows == [(2, 8, 1, 1, 12), (2, 4, 1, 1, 12)]
    assert sum(p.numel() for p in circuit.parameters()) == 24


def test_the_circuit_stands_before_the_convolutions_and_the_shortcut_passes_it_by() -> None:
    vertex: WideVertex = _build().vertex
    generator = torch.Generator().manual_seed(1)
    x, time = torch.randn(2, 32, 2, 2, generator=generator), torch.randn(2, 32, generator=generator)
    read: list[torch.Tensor] = []
    passed: list[torch.Tensor] = []
    vertex.first.first_norm.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    vertex.first.shortcut.register_forward_pre_hook(lambda _, args: passed.append(args[0]))
    vertex(x, time)
    torch.testing.assert_close(read[0][:, :3], vertex.circuit(x[:, :3]))
    assert torch.equal(read[0][:, 3:], x[:, 3:])
    assert torch.equal(passed[0], x)


def test_a_hybrid_has_every_tensor_of_the_classical_model() -> None:
    classical, hybrid = (_build(name).state_dict() for name in ("wide-unet", "hqconv-wide-unet"))
    assert hybrid.keys() - classical.keys() == {"vertex.circuit.bank.layers.0.weight"}
    assert all(torch.equal(tensor, hybrid[name]) for name, tensor in classical.items())


def test_replacing_circuits_take_a_tenth_of_each_vertex_convolution() -> None:
    model = build_model(ModelSpec("fqconv-wide-unet", variant="replacing"))
    blocks = (model.vertex.first, model.vertex.second)
    convs = [conv for block in blocks for conv in (block.first, block.second)]
    assert model.vertex.circuit is None
    assert [conv.circuit_channels for conv in convs] == [[3] * 4] * 4
    shapes = [tuple(conv.classical.weight.shape) for conv in convs]
    assert shapes == [(116, 244, 3, 3), *[(116, 116, 3, 3)] * 3]
    narrow = _build(size=8, variant="replacing").vertex.first.first
    assert narrow.circuit_channels == [3]


@pytest.mark.parametrize("ansatz", ["hqconv", "fqconv"])
def test_replacing_convolution_against_qiskit_and_its_definition(ansatz: str) -> None:
    block = _build(f"{ansatz}-wide-unet", 28, variant="replacing").vertex.first
    conv, circuit = block.first, build_ansatz(ansatz, channels=3, layers=1)
    generator = torch.Generator().manual_seed(4)
    x, time = torch.randn(2, 64, 2, 2, generator=generator), torch.randn(2, 32, generator=generator)
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []
    conv.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    block(x, time)
    (read, wrote), normalized = calls[0], nn.functional.group_norm(x, 8)
    torch.testing.assert_close(read, nn.functional.silu(normalized))
    values = (*read[1, :3].flatten().tolist(), *conv.circuit_weights(0).tolist())
    bound = dict(zip((*circuit.inputs, *circuit.weights), values, strict=True))
    state = Statevector(circuit.circuit.assign_parameters(bound))
    expected = [state.expectation_value(each).real for each in circuit.observables]
    assert wrote[1, :3].flatten().tolist() == pytest.approx(expected, abs=1e-5)
    rest = nn.functional.conv2d(read[:, 3:], conv.classical.weight, conv.classical.bias, padding=1)
    torch.testing.assert_close(wrote[:, 3:], rest)


def test_released_times_are_those_of_the_code() -> None:
    time = torch.tensor([7.0])
    for variant, last in (("paper", 63), ("replacing", 63), ("released", 64)):
        embedding = build_model(ModelSpec("hqconv-wide-unet", variant=variant)).time[0]
        angle = 7 * 10_000 ** (-63 / last)
        assert float(embedding(time)[0, 63]) == pytest.approx(math.sin(angle), rel=1e-4)


@pytest.mark.parametrize("ansatz", ["hqconv", "fqconv"])
@pytest.mark.parametrize("layers", [1, 2])
def test_released_circuits_turn_by_the_weight_itself(ansatz: str, layers: int) -> None:
    circuit = released_circuit(ansatz, layers)
    assert circuit.num_weights == layers * {"hqconv": 28, "fqconv": 24}[ansatz]
    angles = [
        i.operation.params[0] for i in circuit.circuit.data if i.operation.name in ("crx", "crz")
    ]
    assert [angle.parameters for angle in angles] == [{weight} for weight in circuit.weights]
    turns = [angle.bind({next(iter(angle.parameters)): 0.7}) for angle in angles]
    assert [float(turn) for turn in turns] == pytest.approx([0.7] * circuit.num_weights)


def test_released_fqconv_alternates_within_a_block() -> None:
    """Against the circuit written out, with the channels and qubits of the report's code."""
    circuit = released_circuit("fqconv", 1)
    values = torch.linspace(0.1, 2.9, 24).tolist()
    inputs = torch.linspace(-1.0, 1.0, 12).tolist()
    expected = QuantumCircuit(12)
    for qubit, angle in enumerate(inputs):
        expected.rx(angle, qubit)
    angles = iter(values)
    for controls, targets in (((3, 2, 1, 0), 8), ((11, 10, 9, 8), 4), ((7, 6, 5, 4), 0)):
        for gates in ("zxzx", "xzxz"):
            for gate, control in zip(gates, controls, strict=True):
                turn = expected.crz if gate == "z" else expected.crx
                turn(next(angles), control, targets + control % 4)
    bound = dict(zip((*circuit.inputs, *circuit.weights), (*inputs, *values), strict=True))
    built = Statevector(circuit.circuit.assign_parameters(bound))
    assert built.equiv(Statevector(expected))


def test_released_outputs_are_mixed_up_between_images_alone() -> None:
    model = _build("hqconv-wide-unet", 8, variant="released")
    quantum = model.vertex.circuit
    assert quantum.weight.std() > 1
    x = torch.randn(3, 6, 2, 2, generator=torch.Generator().manual_seed(2))
    apart = torch.cat([quantum(image[None]) for image in x]).reshape(3, 2, 12)
    together = quantum(x).reshape(3, 2, 12)
    stacked = apart.transpose(0, 1).reshape(6, 12)
    torch.testing.assert_close(together.reshape(6, 12), stacked)
    assert not torch.allclose(together, apart)


def test_attention_against_its_definition() -> None:
    attention = _build().vertex.attention
    x = torch.randn(1, 16, 2, 2, generator=torch.Generator().manual_seed(3))
    tokens = nn.functional.group_norm(x, 8).flatten(2).transpose(1, 2)[0]
    inner = attention.attention
    q, k, v = (tokens @ inner.in_proj_weight.T + inner.in_proj_bias).chunk(3, dim=1)
    heads = []
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        shares = (q[:, part] @ k[:, part].T / math.sqrt(4)).softmax(dim=1)
        heads.append(shares @ v[:, part])
    attended = inner.out_proj(torch.cat(heads, dim=1)).T.reshape(x.shape)
    torch.testing.assert_close(attention(x), x + attended)
