import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from counting import counted
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from random_circuits import exact_values
from safetensors.torch import load, save

from qhybrid_circuits import (
    CircuitError,
    RequestError,
    ShapeError,
    UnknownNameError,
    VariationalCircuit,
)
from qhybrid_circuits.ansatz import basic_entangling, fqconv, hqconv
from qhybrid_runtime import (
    CircuitBank,
    compiled,
    get_backend,
    quantum_layer,
)
from qhybrid_runtime.backends import statevector

BACKENDS = ["statevector", "aer"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_is_a_torch_connector_around_an_estimator_qnn(backend: str) -> None:
    layer = quantum_layer(basic_entangling(), get_backend(backend))
    assert isinstance(layer, TorchConnector)
    assert isinstance(layer.neural_network, EstimatorQNN)
    assert layer.neural_network.default_precision == 0
    assert list(layer.state_dict()) == ["weight"]
    assert sum(p.numel() for p in layer.parameters()) == 16
    assert layer.sparse is False


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_qiskits(backend: str, rng) -> None:
    variational = hqconv(channels=2)
    layer = quantum_layer(variational, get_backend(backend), initial_weights=rng.random(54))
    inputs = rng.normal(size=(3, 8))
    expected = exact_values(variational, inputs, layer.weight.detach().double().numpy())
    with torch.no_grad():
        single = layer(torch.as_tensor(inputs, dtype=torch.float32))
        double = copy.deepcopy(layer).double()(torch.as_tensor(inputs))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(double.numpy(), expected, atol=1e-10)


def test_aer_and_statevector_agree_in_values_and_gradients(generator) -> None:
    variational = hqconv()
    weights = torch.rand(84, generator=generator)
    features = torch.randn(5, 12, generator=generator)
    results = []
    for name in BACKENDS:
        layer = quantum_layer(variational, get_backend(name), initial_weights=weights)
        inputs = features.clone().requires_grad_()
        values = layer(inputs)
        values.square().sum().backward()
        results.append((values.detach(), inputs.grad, layer.weight.grad))
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_a_backend_may_be_its_name() -> None:
    assert quantum_layer(hqconv(channels=1), "aer").backend.name == "aer"


def test_a_forward_call_is_one_pub_with_explicit_precision(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    layer = quantum_layer(hqconv(channels=2), backend)
    layer(torch.zeros(7, 8))
    assert [len(pubs) for pubs in counter.jobs] == [1]
    pub = counter.jobs[0][0]
    assert pub.observables.shape == (8, 1)
    assert pub.parameter_values.as_array().shape == (7, 8 + 54)
    assert pub.precision == 0
    pub.validate()
    layer.neural_network.forward(np.zeros((7, 8)), np.zeros(54))
    assert [len(pubs) for pubs in counter.jobs] == [1, 1]


def test_a_bank_is_one_job_with_one_pub_a_circuit(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    bank = CircuitBank([hqconv(channels=1), hqconv(channels=1), basic_entangling()], backend)
    bank([torch.zeros(2, 4)] * 3)
    assert [len(pubs) for pubs in counter.jobs] == [3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bank_is_its_layers(backend: str, generator) -> None:
    # Two builds of one ansatz have parameters of their own but one structure.
    circuits = [hqconv(channels=1), fqconv(channels=1), hqconv(channels=1), basic_entangling()]
    bank = CircuitBank(circuits, get_backend(backend), generator=generator)
    inputs = [torch.randn(3, 4, generator=generator, requires_grad=True) for _ in circuits]
    together = bank(inputs)
    alone = [layer(x) for layer, x in zip(bank.layers, inputs, strict=True)]
    for mine, other in zip(together, alone, strict=True):
        torch.testing.assert_close(mine, other)
    leaves = [*inputs, *bank.parameters()]
    mine = torch.autograd.grad(sum(v.square().sum() for v in together), leaves)
    other = torch.autograd.grad(sum(v.square().sum() for v in alone), leaves)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b)


def test_circuits_of_one_structure_are_one_engine_call(monkeypatch) -> None:
    calls = []
    real = statevector.round_expectations
    monkeypatch.setattr(
        statevector,
        "round_expectations",
        lambda batches: calls.append([each.inputs.shape for each in batches]) or real(batches),
    )
    bank = CircuitBank(
        [hqconv(channels=1) for _ in range(5)] + [basic_entangling()], get_backend("statevector")
    )
    bank([torch.zeros(2, 4)] * 6)
    assert calls == [[(5, 2, 4), (1, 2, 4)]]


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_leading_dimensions_are_kept(backend: str, shape) -> None:
    layer = quantum_layer(basic_entangling(), get_backend(backend))
    assert layer(torch.zeros(shape)).shape == shape


def test_half_precision_inputs_are_computed_in_single() -> None:
    layer = quantum_layer(basic_entangling(), get_backend("statevector"))
    inputs = torch.randn(2, 4).bfloat16().requires_grad_()
    values = layer(inputs)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, layer(inputs.float()))
    values.sum().backward()
    assert inputs.grad.dtype == torch.bfloat16


def test_weights_are_uniform_turns_from_the_generator() -> None:
    def weights(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return quantum_layer(hqconv(), get_backend(), generator=generator).weight.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert weights(1).min() >= 0
    assert weights(1).max() < 1


def test_state_dicts_of_both_kinds_load_and_safetensors_takes_ours() -> None:
    layer = quantum_layer(basic_entangling(), get_backend("statevector"))
    again = quantum_layer(basic_entangling(), get_backend("statevector"))
    again.load_state_dict(load(save(layer.state_dict())))
    assert torch.equal(again.weight, layer.weight)
    stock = TorchConnector(layer.neural_network)
    again.load_state_dict(stock.state_dict())
    assert torch.equal(again.weight, stock.weight)
    again.load_state_dict({"_weights": layer.weight.detach()})
    assert torch.equal(again.weight, layer.weight)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_pickle_once_used(backend: str) -> None:
    # A product of parameters is compiled by sympy, into a function that cannot be pickled.
    x, w = ParameterVector("x", 1), ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.rx(x[0] * w[0], 0)
    variational = VariationalCircuit("product", circuit, x, w, [SparsePauliOp("Z")])
    layer = quantum_layer(variational, get_backend(backend))
    inputs = torch.ones(2, 1)
    layer(inputs).sum().backward()
    again = pickle.loads(pickle.dumps(layer))
    assert torch.equal(again(inputs), layer(inputs))


def test_structures_are_shared_by_copies_and_forgotten_with_their_networks() -> None:
    def structures() -> int:
        gc.collect()
        return len(compiled._STRUCTURES)

    before = structures()
    layer = quantum_layer(hqconv(channels=1, layers=5), get_backend())
    mine = layer.neural_network.compiled.structure
    assert pickle.loads(pickle.dumps(mine)) is mine
    assert copy.deepcopy(layer).neural_network.compiled.structure is mine
    other = quantum_layer(fqconv(channels=1, layers=5), get_backend())
    assert other.neural_network.compiled.structure is not mine
    assert structures() == before + 2
    del layer, mine, other
    assert structures() == before


def test_precisions_do_not_mix_in_a_bank() -> None:
    bank = CircuitBank([basic_entangling(), basic_entangling()], get_backend())
    single, double = bank([torch.zeros(2, 4), torch.zeros(2, 4).double()])
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64


def test_layers_copy() -> None:
    layer = quantum_layer(basic_entangling(), get_backend("aer"))
    twin = copy.deepcopy(layer)
    inputs = torch.randn(2, 4)
    torch.testing.assert_close(twin(inputs), layer(inputs))


def test_mistakes_are_named() -> None:
    backend = get_backend("statevector")
    with pytest.raises(UnknownNameError, match="unknown backend 'aero'; did you mean aer"):
        get_backend("aero")
    with pytest.raises(UnknownNameError, match="unknown gradient 'adjont'; did you mean adjoint"):
        quantum_layer(basic_entangling(), backend, "adjont")
    with pytest.raises(RequestError, match="does not take the options shots; it takes none"):
        get_backend("statevector", shots=3)
    with pytest.raises(ShapeError, match=r"`initial_weights` must have shape \(16,\)"):
        quantum_layer(basic_entangling(), backend, initial_weights=[1.0])
    with pytest.raises(ShapeError, match=r"must have shape \(\.\.\., 4\), but have shape \(2, 5\)"):
        quantum_layer(basic_entangling(), backend)(torch.zeros(2, 5))
    with pytest.raises(RequestError, match="does not take the options shots; it takes threads"):
        get_backend("aer", threads=1, shots=3)
    with pytest.raises(RequestError, match="`threads` must be a whole number"):
        get_backend("aer", threads="two")
    with pytest.raises(ShapeError, match=r"must be real, but are torch\.complex64"):
        quantum_layer(basic_entangling(), backend)(torch.zeros(2, 4, dtype=torch.complex64))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4\), but have shape \(0,\)"):
        quantum_layer(basic_entangling(), backend)()
    with pytest.raises(CircuitError, match="at least one circuit"):
        CircuitBank([], backend)
    bank = CircuitBank([basic_entangling()], backend)
    with pytest.raises(ShapeError, match="1 circuits need as many inputs, but got 2"):
        bank([torch.zeros(2, 4)] * 2)
