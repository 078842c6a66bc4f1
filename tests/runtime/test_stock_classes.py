import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import (
    pass_manager,
)
from qhybrid_circuits.ansatz import basic_entangling, fqconv, hqconv
from qhybrid_runtime import (
    AdjointEstimatorGradient,
    BroadcastEstimatorQNN,
    get_backend,
    quantum_layer,
)


def test_adjoint_gradient_in_stock_classes_is_parameter_shift(rng) -> None:
    variational = hqconv(channels=1, layers=1)

    def stock(gradient) -> EstimatorQNN:
        estimator = StatevectorEstimator()
        return EstimatorQNN(
            circuit=variational.circuit,
            estimator=estimator,
            observables=list(variational.observables),
            input_params=list(variational.inputs),
            weight_params=list(variational.weights),
            gradient=gradient(estimator),
            input_gradients=True,
        )

    inputs, weights = rng.normal(size=(2, 4)), rng.random(8)
    mine = stock(AdjointEstimatorGradient).backward(inputs, weights)
    reference = stock(ParamShiftEstimatorGradient).backward(inputs, weights)
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    connector = TorchConnector(stock(AdjointEstimatorGradient), initial_weights=weights)
    layer = quantum_layer(variational, get_backend("statevector"), initial_weights=weights)
    rows = [torch.tensor(inputs, dtype=torch.float32, requires_grad=True) for _ in range(2)]
    cotangent = torch.as_tensor(rng.normal(size=(2, 4)), dtype=torch.float32)
    for module, x in zip((connector, layer), rows, strict=True):
        (module(x) * cotangent).sum().backward()
    torch.testing.assert_close(rows[0].grad, rows[1].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(connector.weight.grad, layer.weight.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("manager", ["qiskit", "ours"])
def test_a_pass_manager_means_what_it_does_in_stock_classes(manager: str, rng) -> None:
    variational = hqconv(channels=1, layers=1)
    device = GenericBackendV2(30, ["cz", "rz", "sx", "x"], coupling_map=CouplingMap.from_line(30))
    passes = (
        pass_manager(device.target)
        if manager == "ours"
        else generate_preset_pass_manager(1, device, seed_transpiler=1)
    )
    values, circuit = rng.random((2, 12)), variational.circuit
    observables = list(variational.observables[:2])
    estimator = get_backend("aer").estimator()
    mine, shift, plain = (
        gradient.run([circuit] * 2, observables, values).result().gradients
        for gradient in (
            AdjointEstimatorGradient(estimator, pass_manager=passes),
            ParamShiftEstimatorGradient(estimator, pass_manager=passes),
            AdjointEstimatorGradient(),
        )
    )
    np.testing.assert_allclose(mine, shift, atol=1e-6)
    np.testing.assert_allclose(mine, plain, atol=1e-6)
    network = BroadcastEstimatorQNN(variational, get_backend("aer"), pass_manager=passes)
    bare = BroadcastEstimatorQNN(variational, get_backend("aer"))
    point = values[:, :4], values[0, 4:]
    np.testing.assert_allclose(network.forward(*point), bare.forward(*point), atol=1e-6)
    for a, b in zip(network.backward(*point), bare.backward(*point), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_stock_network_with_its_own_defaults_takes_our_estimator_and_gradient(rng) -> None:
    # As the README says; the stock network asks for a precision of 1/64.
    a, b = ParameterVector("a", 1), ParameterVector("b", 1)
    circuit = QuantumCircuit(1)
    circuit.rx(a[0] * b[0], 0)
    circuit.ry(b[0].sin() + 1, 0)
    circuit.rx(a[0] ** 2, 0)
    network = EstimatorQNN(
        circuit=circuit,
        estimator=get_backend("statevector").estimator(),
        observables=SparsePauliOp("Z"),
        input_params=list(a),
        weight_params=list(b),
        gradient=AdjointEstimatorGradient(),
        input_gradients=True,
    )
    inputs, weights, step = rng.normal(size=(3, 1)), rng.normal(size=1), 1e-5

    def values(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        states = [Statevector(circuit.assign_parameters({a[0]: v, b[0]: w[0]})) for v in x[:, 0]]
        return np.array([[state.expectation_value(SparsePauliOp("Z")).real] for state in states])

    np.testing.assert_allclose(network.forward(inputs, weights), values(inputs, weights))
    by_input, by_weight = network.backward(inputs, weights)
    expected = (values(inputs + step, weights) - values(inputs - step, weights)) / (2 * step)
    np.testing.assert_allclose(by_input[:, :, 0], expected, atol=1e-8)
    expected = (values(inputs, weights + step) - values(inputs, weights - step)) / (2 * step)
    np.testing.assert_allclose(by_weight[:, :, 0], expected, atol=1e-8)


def test_adjoint_gradient_of_some_parameters_only(rng) -> None:
    variational = basic_entangling()
    circuit = variational.circuit
    values = rng.normal(size=(2, 20))
    wanted = [list(variational.weights[3:5]), None]
    observables = list(variational.observables[1:3])
    run = AdjointEstimatorGradient().run
    some = run([circuit] * 2, observables, values, parameters=wanted).result().gradients
    every = run([circuit] * 2, observables, values).result().gradients
    column = [list(circuit.parameters).index(p) for p in wanted[0]]
    np.testing.assert_allclose(some[0], every[0][column])
    np.testing.assert_allclose(some[1], every[1])


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_the_network_has_the_stock_interface(backend: str, rng) -> None:
    variational = hqconv(channels=1, variant="released", layers=2)
    layer = quantum_layer(variational, get_backend(backend))
    network: BroadcastEstimatorQNN = layer.neural_network
    inputs, weights = rng.normal(size=(3, 4)), rng.random(16)
    assert network.forward(inputs, weights).shape == (3, 4)
    by_input, by_weight = network.backward(inputs, weights)
    assert by_input.shape == (3, 4, 4)
    assert by_weight.shape == (3, 4, 16)
    assert (by_weight == 0).all()  # one channel: the released circuit has no gate at all


def test_network_jacobian_agrees_with_the_layers_product(rng) -> None:
    layer = quantum_layer(fqconv(channels=1, layers=2), get_backend("aer")).double()
    inputs, weights = rng.normal(size=(3, 4)), layer.weight.detach().numpy()
    by_input, by_weight = layer.neural_network.backward(inputs, weights)
    x = torch.tensor(inputs, requires_grad=True)
    cotangent = torch.as_tensor(rng.normal(size=(3, 4)))
    (layer(x) * cotangent).sum().backward()
    np.testing.assert_allclose(x.grad, np.einsum("bo,boi->bi", cotangent, by_input), atol=1e-10)
    np.testing.assert_allclose(
        layer.weight.grad, np.einsum("bo,bow->w", cotangent, by_weight), atol=1e-10
    )
