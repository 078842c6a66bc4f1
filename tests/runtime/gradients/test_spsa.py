import copy
import pickle

import numpy as np
import pytest
import torch
from counting import counted
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_circuits.ansatz import basic_entangling, hqconv
from qhybrid_runtime import CircuitBank, Spsa, continue_at, get_backend, quantum_layer


def gradients(layer, inputs: torch.Tensor, cotangent: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = inputs.clone().requires_grad_()
    return torch.autograd.grad(layer(x), [x, layer.weight], cotangent)


def test_the_mean_of_many_draws_is_the_adjoint(generator) -> None:
    # Draws are independent, so their mean is off by their spread / sqrt(n): the largest of 20
    # deviations is allowed 4.5 of these, and the perturbation's own bias 1e-3.
    draws = 10000
    variational = hqconv(channels=1, layers=1)
    inputs = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    cotangent = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    start = torch.rand(8, generator=generator)
    mean, truth, single = (
        quantum_layer(variational, get_backend(), method, start).double()
        for method in (Spsa(perturbation=0.02, samples=draws), "adjoint", Spsa(0.02))
    )
    few = zip(*(gradients(single, inputs, cotangent) for _ in range(100)), strict=True)
    for found, expected, some in zip(
        gradients(mean, inputs, cotangent), gradients(truth, inputs, cotangent), few, strict=True
    ):
        tolerance = 4.5 * torch.stack(some).std(dim=0) / draws**0.5 + 1e-3
        assert ((found - expected).abs() <= tolerance).all()
        cosine = torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0)
        assert cosine > 0.98


def test_backends_are_perturbed_alike(generator) -> None:
    inputs, cotangent = torch.randn(3, 4, generator=generator).double(), torch.ones(3, 4).double()
    start = torch.rand(16, generator=generator)
    found = [
        gradients(
            quantum_layer(basic_entangling(), get_backend(name), Spsa(samples=3), start).double(),
            inputs,
            cotangent,
        )
        for name in ("statevector", "aer")
    ]
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-9, rtol=1e-9)


def test_one_parameter_alone_is_a_central_difference() -> None:
    x, w = ParameterVector("x", 1), ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.rx(2 * np.pi * w[0], 0)
    variational = VariationalCircuit("one", circuit, tuple(x), tuple(w), (SparsePauliOp("Z"),))
    layer = quantum_layer(variational, get_backend(), Spsa(perturbation=0.3), [0.2]).double()
    layer(torch.zeros(1, 1).double()).backward()
    # 0.3 radians of the gate are 0.3 / 2 pi turns of the weight.
    weight = layer.weight.item()
    angle, step = 2 * np.pi * weight, 0.3 / (2 * np.pi)
    expected = (np.cos(angle + 0.3) - np.cos(angle - 0.3)) / (2 * step)
    assert layer.weight.grad.item() == pytest.approx(expected, abs=1e-12)


def test_a_gradient_is_two_parameter_sets_a_sample_in_one_job(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    circuits = [hqconv(), basic_entangling()]
    bank = CircuitBank(circuits, backend, Spsa(samples=2))
    inputs = [torch.randn(3, 12, requires_grad=True), torch.randn(3, 4)]
    sum(v.sum() for v in bank(inputs)).backward()
    assert inputs[1].grad is None
    # One PUB for each of four sets of weights, which all samples share.
    assert counter.parameter_sets == [[3, 3], [3] * 8]
    values = [pub.parameter_values.as_array() for pub in counter.jobs[1]]
    assert all((rows[:, -16:] == rows[:1, -16:]).all() for rows in values)
    assert len({rows[0, 12:].tobytes() for rows in values[:4]}) == 4
    assert len(np.unique(np.concatenate([rows[:, :12] for rows in values[:4]]), axis=0)) == 12
    # Inputs without a gradient stay where they are.
    for rows in values[4:]:
        np.testing.assert_allclose(rows[:, :4], inputs[1])
    bank.requires_grad_(False)
    bank([inputs[0], inputs[1]])[0].sum().backward()
    assert counter.parameter_sets[2:] == [[3, 3], [12]]  # weights that stay are one set
    for circuit in circuits:
        assert Spsa(samples=2).parameter_sets(circuit) == 4
    assert Spsa().parameter_sets(hqconv(channels=1, variant="released"), by_inputs=False) == 0


def test_weights_that_no_gate_takes_have_no_gradient(monkeypatch) -> None:
    layer = quantum_layer(hqconv(channels=2, variant="released"), get_backend(), "spsa")
    layer(torch.randn(5, 8)).square().sum().backward()
    used = layer.neural_network.compiled.active[8:]
    assert 0 < used.sum() < len(used)
    np.testing.assert_array_equal(layer.weight.grad.numpy() != 0, used)


def test_what_cannot_change_costs_nothing(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    # One channel of the released circuit: weights, but no gate that takes one.
    variational = hqconv(channels=1, variant="released", layers=2)
    layer = quantum_layer(variational, backend, Spsa(samples=2))
    layer(torch.randn(2, 4)).sum().backward()
    assert (layer.weight.grad == 0).all()
    empty = torch.empty(0, 4, requires_grad=True)
    layer(empty).sum().backward()
    assert empty.grad.shape == (0, 4)
    assert counter.parameter_sets == [[2], [0]]


def layer_of(seed: int = 0, start: float = 0.3):
    weights = torch.full((16,), start)
    return quantum_layer(basic_entangling(), get_backend(), Spsa(seed=seed), weights)


def test_draws_follow_from_the_seed_and_the_number_of_calls(generator) -> None:
    inputs = torch.randn(2, 4, generator=generator)
    cotangent = torch.ones(2, 4)

    def series(layer, count: int = 3) -> list[torch.Tensor]:
        return [gradients(layer, inputs, cotangent)[1] for _ in range(count)]

    first = series(layer_of())
    assert all(torch.equal(a, b) for a, b in zip(first, series(layer_of()), strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], series(layer_of(seed=1), 1)[0])
    undisturbed, resumed = layer_of(), layer_of()
    series(undisturbed)
    for layer in (undisturbed, resumed):
        continue_at(torch.nn.Sequential(layer), 2)
    drawn = series(undisturbed, 2)
    assert all(torch.equal(a, b) for a, b in zip(drawn, series(resumed, 2), strict=True))
    calls = resumed.neural_network.stream.calls
    with torch.no_grad():
        resumed(inputs)  # values alone draw nothing
    assert resumed.neural_network.stream.calls == calls


def test_copies_and_pickles_go_on_where_the_original_was(generator) -> None:
    inputs, cotangent = torch.randn(2, 4, generator=generator), torch.ones(2, 4)
    layer = layer_of()
    gradients(layer, inputs, cotangent)
    again = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    expected = gradients(layer, inputs, cotangent)
    for twin in again:
        for a, b in zip(gradients(twin, inputs, cotangent), expected, strict=True):
            assert torch.equal(a, b)


def test_circuits_of_a_bank_are_moved_differently(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    bank = CircuitBank([basic_entangling()] * 2, backend, "spsa")
    values = bank([torch.zeros(1, 4)] * 2)
    sum(v.sum() for v in values).backward()
    moved = [
        pub.parameter_values.as_array()[0] - np.r_[np.zeros(4), layer.weight.detach().numpy()]
        for pub, layer in zip(counter.jobs[1][::2], bank.layers, strict=True)
    ]
    assert not np.allclose(moved[0], moved[1])


def test_the_stock_interface_gives_a_jacobian_of_its_own(rng) -> None:
    network = layer_of().neural_network
    by_inputs, by_weights = network.backward(rng.normal(size=(3, 4)), rng.random(16))
    assert by_inputs.shape == (3, 4, 4)
    assert by_weights.shape == (3, 4, 16)
    # One direction: all derivatives of an output are of one size, up to the sign.
    np.testing.assert_allclose(np.ptp(np.abs(by_inputs), axis=-1), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation": 0.0}, "`perturbation` of gradient 'spsa' must be a positive number"),
        ({"perturbation": float("nan")}, "must be a positive number of radians, but is nan"),
        ({"samples": 0}, "`samples` of gradient 'spsa' must be a whole number of at least 1"),
        ({"samples": True}, "but is True"),
        ({"seed": -1}, "`seed` of gradient 'spsa' must be a whole number of at least 0"),
    ],
)
def test_options_are_checked(options, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Spsa(**options)
