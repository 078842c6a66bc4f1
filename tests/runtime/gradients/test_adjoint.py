import numpy as np
import pytest
import torch
from counting import counted, replaced

from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime import CircuitBank, ParameterShift, Spsa, get_backend, quantum_layer
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.by_name import gradient_method


def test_values_are_the_devices_and_derivatives_the_ideal_circuits(monkeypatch, rng) -> None:
    variational = hqconv(channels=1, layers=1)
    exact = get_backend("aer").estimator()

    def halved(pub) -> np.ndarray:
        return 0.5 * exact.run([pub]).result()[0].data.evs

    backend, start = replaced(monkeypatch, halved), rng.random(8)
    inputs = torch.as_tensor(rng.normal(size=(2, 4)))
    layers = {
        name: quantum_layer(variational, where, method, start).double()
        for name, where, method in (
            ("ideal", get_backend(), "adjoint"),
            ("device", backend, "adjoint"),
            ("shift", backend, "parameter-shift"),
        )
    }
    values = {name: layer(inputs) for name, layer in layers.items()}
    for value in values.values():
        value.sum().backward()
    torch.testing.assert_close(values["device"], values["ideal"] / 2)
    ideal = layers["ideal"].weight.grad
    torch.testing.assert_close(layers["device"].weight.grad, ideal)
    torch.testing.assert_close(layers["shift"].weight.grad, ideal / 2)


@pytest.mark.parametrize("backend", ["statevector", "aer"])
@pytest.mark.parametrize("method", ["adjoint", "parameter-shift", "spsa"])
def test_only_what_is_needed_gets_a_gradient(backend: str, method: str) -> None:
    bank = CircuitBank([hqconv(channels=1, layers=1)] * 3, get_backend(backend), method)
    inputs = [torch.randn(2, 4), torch.randn(2, 4, requires_grad=True), torch.randn(2, 4)]
    bank.layers[1].weight.requires_grad_(False)
    bank.layers[2].weight.requires_grad_(False)
    values = bank(inputs)
    sum(v.square().sum() for v in values).backward()
    assert [x.grad is not None for x in inputs] == [False, True, False]
    assert [layer.weight.grad is not None for layer in bank.layers] == [True, False, False]
    assert bank.layers[0].weight.grad.dtype == torch.float32


def test_an_adjoint_gradient_is_no_job(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    layer = quantum_layer(hqconv(channels=1), backend)
    layer(torch.randn(3, 4)).sum().backward()
    assert counter.parameter_sets == [[3]]


def test_methods_by_name_and_with_options() -> None:
    assert gradient_method("aer") == Adjoint()
    assert gradient_method("aer", "spsa") == Spsa()
    assert gradient_method("aer", Spsa(samples=3)).samples == 3
    assert gradient_method("aer", "parameter-shift") == ParameterShift()
    assert "gradient=spsa" in repr(quantum_layer(hqconv(), get_backend(), Spsa()))
