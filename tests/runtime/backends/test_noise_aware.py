import numpy as np
import pytest
import torch
from device_noise_checks import twirled_values
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_circuits import RequestError, UnknownNameError, VariationalCircuit, build_ansatz
from qhybrid_circuits.encoding import AmplitudeEncoding
from qhybrid_runtime import CircuitBank, get_backend, quantum_layer
from qhybrid_runtime.backends.noise_aware import NoiseAwareBackend, get_noise_aware_backend
from qhybrid_runtime.device_noise.logical_noise import find_logical_noise
from qhybrid_runtime.device_noise.noisy_circuit import NoisyCircuit
from qhybrid_runtime.hardware.targets import fake_target


@pytest.fixture(scope="module")
def fez() -> Target:
    return fake_target("fake_fez")


@pytest.fixture(scope="module")
def variational() -> VariationalCircuit:
    return build_ansatz("hqconv", channels=1, layers=1)


def test_samples_average_to_the_noisy_value(
    variational: VariationalCircuit, fez: Target, rng: np.random.Generator
) -> None:
    inputs, weights = rng.normal(size=4), rng.random(variational.num_weights)
    layer = quantum_layer(variational, NoiseAwareBackend("fake_fez", seed=1), None, weights)
    weights = layer.weight.detach().numpy()
    with torch.no_grad():
        values = layer(torch.as_tensor(inputs).float().expand(20_000, -1)).double().numpy()
    found = find_logical_noise(variational, fez)
    numbers = dict(zip(variational.weights, weights.astype(float), strict=True))
    numbers |= dict(zip(variational.inputs, inputs, strict=True))
    circuit = found.noisy.circuit.assign_parameters(
        {p: numbers[p] for p in found.noisy.circuit.parameters}
    )
    bound = NoisyCircuit(circuit, found.noisy.num_sites, found.noisy.locations)
    expected = twirled_values(bound, found.observables)
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) < 5 * error).all()
    assert (values.std(axis=0) > 0.01).all()


def test_gradients_are_those_of_the_trajectories(
    variational: VariationalCircuit, fez: Target, rng: np.random.Generator
) -> None:
    """The same seed and call draw the same errors, so differences of values tell."""
    start = torch.as_tensor(rng.random(variational.num_weights))
    inputs = torch.as_tensor(rng.normal(size=(64, 4)))
    direction = torch.as_tensor(rng.normal(size=start.shape))
    cotangent = torch.as_tensor(rng.normal(size=(64, 4)))

    def loss(weights: torch.Tensor) -> torch.Tensor:
        backend = NoiseAwareBackend("fake_fez", seed=5)
        layer = quantum_layer(variational, backend).double()
        with torch.no_grad():
            layer.weight.copy_(weights)
        total: torch.Tensor = (layer(inputs) * cotangent).sum()
        loss.layer = layer
        return total

    loss(start).backward()
    found = (loss.layer.weight.grad * direction).sum().item()
    step = 1e-5
    with torch.no_grad():
        expected = (loss(start + step * direction) - loss(start - step * direction)) / (2 * step)
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_errors_follow_from_the_seed_and_the_call(
    variational: VariationalCircuit, fez: Target, rng: np.random.Generator
) -> None:
    inputs = torch.as_tensor(rng.normal(size=(200, 4))).float()
    weights = rng.random(variational.num_weights)

    def calls(seed: int) -> list[torch.Tensor]:
        layer = quantum_layer(variational, NoiseAwareBackend("fake_fez", seed=seed), None, weights)
        with torch.no_grad():
            return [layer(inputs) for _ in range(2)]

    first, second = calls(3)
    assert not torch.equal(first, second)
    again = calls(3)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, calls(4)[0])


def test_a_bank_draws_for_every_circuit(
    variational: VariationalCircuit, fez: Target, generator: torch.Generator
) -> None:
    backend = NoiseAwareBackend("fake_fez", seed=1)
    bank = CircuitBank([variational] * 2, backend, generator=generator)
    with torch.no_grad():
        bank.layers[1].weight.copy_(bank.layers[0].weight)
        first, second = bank([torch.ones(100, 4)] * 2)
    assert backend.calls == 1
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.mean(0), second.mean(0), atol=0.2, rtol=0)


def test_devices_are_known_by_name() -> None:
    backend = get_noise_aware_backend("fake_fez", 1)
    assert backend.name == "noise-aware:fake_fez"
    assert isinstance(get_backend(backend.name, seed=1), NoiseAwareBackend)
    assert not backend.exact
    with pytest.raises(UnknownNameError, match="fake_fetz"):
        get_noise_aware_backend("fake_fetz", 1)


def test_weights_without_a_gate_are_allowed(generator: torch.Generator) -> None:
    variational = build_ansatz("hqconv", channels=2, layers=1, variant="released")
    layer = quantum_layer(variational, NoiseAwareBackend("fake_fez"), generator=generator)
    layer(torch.ones(3, 8)).sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    assert gradient[:2].abs().min() > 0
    assert not gradient[2:].any()


def test_a_seed_is_checked() -> None:
    with pytest.raises(RequestError, match="seed"):
        NoiseAwareBackend("fake_fez", seed=-1)


def test_errors_within_amplitude_encoding_strike_behind_it() -> None:
    features, angle = ParameterVector("x", 8), Parameter("a")
    circuit = QuantumCircuit(3)
    circuit.append(AmplitudeEncoding(features), range(3))
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    observables = tuple(SparsePauliOp(label) for label in ("ZII", "IXX", "ZZZ"))
    variational = VariationalCircuit("encoded", circuit, (*features, angle), (), observables)
    backend = get_backend("noise-aware:fake_fez", seed=0)
    layer = quantum_layer(variational, backend)
    inputs = torch.tensor(np.random.default_rng(0).normal(size=(4, 9)), dtype=torch.float32)
    many = inputs.repeat(2500, 1).requires_grad_()
    values = layer(many)
    values.sum().backward()
    assert many.grad is not None
    assert many.grad.isfinite().all()
    noisy = values.detach().reshape(2500, 4, 3).mean(0)
    exact = quantum_layer(variational, get_backend("statevector"))(inputs).detach()
    device = quantum_layer(variational, get_backend("aer:fake_fez", seed=0))(inputs).detach()
    # Both know of the noise of six CX gates and more, which takes a few percent off.
    torch.testing.assert_close(noisy, device, atol=0.03, rtol=0)
    lost = exact - device
    assert (lost * (exact - noisy)).sum() / lost.square().sum() == pytest.approx(1, abs=0.35)
