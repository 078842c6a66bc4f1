import math

import pytest
import torch
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from qhybrid.models.quantum_vertex import QuantumVertexConv, circuit_channels
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_circuits.errors import CircuitError
from qhybrid_runtime import Backend, get_backend


@pytest.fixture(scope="module", params=["statevector", "aer"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param)


def _next_qubit(channels: int, outputs: int | None = None) -> VariationalCircuit:
    """Output i is the cosine of input i + 1, cyclically; the one weight turns qubit 0 further."""
    qubits = 4 * channels
    inputs, weight = ParameterVector("x", qubits), Parameter("w")
    circuit = QuantumCircuit(qubits)
    for qubit, angle in enumerate(inputs):
        circuit.rx(angle, qubit)
    circuit.rx(weight, 0)
    observables = tuple(
        SparsePauliOp.from_sparse_list([("Z", [(i + 1) % qubits], 1.0)], num_qubits=qubits)
        for i in range(outputs or qubits)
    )
    return VariationalCircuit("next", circuit, tuple(inputs), (weight,), observables)


def _without_weight(conv: QuantumVertexConv) -> QuantumVertexConv:
    for layer in conv.bank.layers:
        layer.weight.data.zero_()
    return conv


@pytest.mark.parametrize("pixel_major", [False, True])
def test_which_feature_goes_where(backend: Backend, pixel_major: bool) -> None:
    """Departure 2 of the released code: features in the order 2 * pixel + channel."""
    conv = QuantumVertexConv([_next_qubit(2)], 2, backend, pixel_major=pixel_major)
    x = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    out = _without_weight(conv)(x)
    for channel in range(2):
        for pixel in range(4):
            index = 2 * pixel + channel if pixel_major else 4 * channel + pixel
            following = (index + 1) % 8
            source = divmod(following, 2)[::-1] if pixel_major else divmod(following, 4)
            expected = torch.cos(x[:, source[0], source[1] // 2, source[1] % 2])
            actual = out[:, channel, pixel // 2, pixel % 2]
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_an_ansatz_against_qiskit(backend: Backend) -> None:
    circuit = build_ansatz("hqconv", channels=1, layers=2)
    generator = torch.Generator().manual_seed(0)
    conv = QuantumVertexConv([circuit] * 2, 3, backend, generator=generator)
    x = torch.randn(1, 3, 2, 2, generator=generator)
    out = conv(x)
    for channel, layer in enumerate(conv.bank.layers):
        features = x[0, channel].flatten().tolist()
        values = dict(zip(circuit.inputs, features, strict=True))
        values |= dict(zip(circuit.weights, layer.weight.tolist(), strict=True))
        state = Statevector(circuit.circuit.assign_parameters(values))
        expected = [state.expectation_value(o).real for o in circuit.observables]
        assert out[0, channel].flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_other_channels_are_convolved(backend: Backend) -> None:
    conv = QuantumVertexConv([_next_qubit(1)], 3, backend)
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert conv.classical is not None
    assert conv.classical.weight.shape == (2, 2, 3, 3)
    torch.testing.assert_close(conv(x)[:, 1:], conv.classical(x[:, 1:]))


def test_scaled_circuits_are_as_large_as_the_convolution_beside_them() -> None:
    """The convolution's outputs for inputs of variance 1 have its scale as standard deviation."""
    torch.manual_seed(0)
    usual = QuantumVertexConv([_next_qubit(3)], 40, get_backend("statevector"))
    scaled = QuantumVertexConv([_next_qubit(3)], 40, get_backend("statevector"), scaled=True)
    scaled.load_state_dict(usual.state_dict())
    x = torch.randn(64, 40, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = usual(x), scaled(x)
    assert torch.equal(before[:, 3:], after[:, 3:])
    torch.testing.assert_close(after[:, :3], math.sqrt(9 * 37) * before[:, :3])
    # Of 9 taps, 4 lie inside of a map of 2x2.
    assert float(after[:, 3:].std()) == pytest.approx(math.sqrt(4 / 9) * scaled.gain, rel=0.1)


def test_a_full_vertex_has_no_convolution(backend: Backend) -> None:
    conv = QuantumVertexConv([_next_qubit(2), _next_qubit(1)], 3, backend)
    assert conv.classical is None
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    out = _without_weight(conv)(x)
    torch.testing.assert_close(out[:, 2, 1, 1], torch.cos(x[:, 2, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, 1, 1, 1], torch.cos(x[:, 0, 0, 0]), atol=1e-5, rtol=0)


def test_one_convolution_is_one_round(backend: Backend) -> None:
    conv = QuantumVertexConv([_next_qubit(1)] * 3, 4, backend)
    rounds: list[int] = []
    conv.bank.register_forward_hook(lambda *_: rounds.append(1))
    conv(torch.zeros(2, 4, 2, 2))
    assert len(rounds) == 1


def test_borrowed_weights_replace_a_circuits_own(backend: Backend) -> None:
    conv = QuantumVertexConv([_next_qubit(1)] * 2, 2, backend)
    x = torch.zeros(1, 2, 2, 2)
    borrowed = torch.tensor([math.pi], requires_grad=True)
    usual, replaced = conv.measure(x), conv.measure(x, {1: borrowed})
    torch.testing.assert_close(replaced[0, 0], usual[0, 0])
    assert replaced[0, 1, 1, 1].item() == pytest.approx(-1.0, abs=1e-6)
    torch.testing.assert_close(conv.measure(x), usual)
    (0.5 * (conv.measure(x, {1: borrowed + 0.5}))).sum().backward()
    assert borrowed.grad is not None
    assert borrowed.grad.item() == pytest.approx(-0.5 * math.sin(math.pi + 0.5), abs=1e-5)
    assert conv.bank.layers[1].weight.grad is None


def test_half_precision_features_keep_their_dtype(backend: Backend) -> None:
    conv = QuantumVertexConv([_next_qubit(1)], 1, backend)
    x = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    out = conv.measure(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), conv.measure(x.float()), atol=0.01, rtol=0)


def test_circuits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CircuitError, match="8 inputs and 4 outputs"):
        circuit_channels([_next_qubit(2, outputs=4)], 10)
    with pytest.raises(CircuitError, match="whole channels of 4 pixels, but has 3 inputs"):
        circuit_channels([build_ansatz("basic_entangling", qubits=3, layers=1)], 10)
    with pytest.raises(CircuitError, match="3 channels, but its 2 circuits take 4"):
        circuit_channels([_next_qubit(2)] * 2, 3)
    assert circuit_channels([_next_qubit(2), _next_qubit(1)], 3) == [2, 1]
