import numpy as np
import pytest
import torch
from counting import counted, replaced
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, depolarizing_error
from random_circuits import random_variational

from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import basic_entangling, hqconv
from qhybrid_runtime import Adjoint, CircuitBank, ParameterShift, get_backend, quantum_layer


def shared_and_affine() -> VariationalCircuit:
    """Weights that stand in several gates, turns and products, in inputs too."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    circuit = QuantumCircuit(2)
    circuit.ry(x[0], 0)
    circuit.rx(x[1] * w[0], 1)
    circuit.crx(2 * np.pi * w[0], 0, 1)
    circuit.crz(2 * np.pi * w[0] + x[0], 1, 0)
    circuit.rzz(w[1] ** 2, 0, 1)
    circuit.cry(w[1] - 0.4, 1, 0)
    circuit.cp(2 * w[2], 1, 0)
    circuit.u(w[2], 0.3, w[1], 1)
    observables = [SparsePauliOp(["ZI", "XX"], [1, 0.5]), SparsePauliOp("IZ")]
    return VariationalCircuit("shared", circuit, tuple(x), tuple(w), tuple(observables))


def gradients(layer, inputs: np.ndarray, cotangent: np.ndarray) -> tuple[torch.Tensor, ...]:
    x = torch.tensor(inputs, requires_grad=True)
    values = layer.double()(x)
    return torch.autograd.grad(
        values, [x, layer.weight], torch.as_tensor(cotangent), materialize_grads=True
    )


@pytest.mark.parametrize("backend", ["statevector", "aer"])
@pytest.mark.parametrize("build", [shared_and_affine, lambda: hqconv(channels=1, layers=2)])
def test_gradients_are_the_adjoints(backend: str, build, rng) -> None:
    variational = build()
    inputs = rng.normal(size=(3, variational.num_inputs))
    cotangent = rng.normal(size=(3, variational.num_outputs))
    start = rng.random(variational.num_weights)
    mine, exact = (
        gradients(quantum_layer(variational, get_backend(name), method, start), inputs, cotangent)
        for name, method in ((backend, "parameter-shift"), ("statevector", Adjoint()))
    )
    for a, b in zip(mine, exact, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("index", range(6))
def test_gradients_of_random_circuits_are_the_adjoints(index: int, rng) -> None:
    variational = random_variational(rng, num_qubits=3, num_gates=14)
    inputs, cotangent = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    start = rng.random(4)
    mine, exact = (
        gradients(quantum_layer(variational, get_backend(), method, start), inputs, cotangent)
        for method in ("parameter-shift", "adjoint")
    )
    for a, b in zip(mine, exact, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-8)


def noisy_values(pub) -> np.ndarray:
    """Values from Aer's density matrix, every gate lowered to rz, sx and cx, the latter noisy."""
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), "cx")
    noise.add_all_qubit_quantum_error(amplitude_damping_error(0.02), "sx")
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    observables = [SparsePauliOp.from_sparse_observable(o[0]) for o in pub.observables._array]
    circuits = []
    for values in pub.parameter_values.as_array(pub.circuit.parameters):
        bound = pub.circuit.assign_parameters(values)
        lowered = transpile(bound, basis_gates=["rz", "sx", "cx"], optimization_level=0)
        for row, observable in enumerate(observables):
            lowered.save_expectation_value(observable, range(2), label=str(row))
        circuits.append(lowered)
    result = simulator.run(circuits, shots=1).result()
    return np.array(
        [
            [result.data(i)[str(row)] for i in range(len(circuits))]
            for row in range(len(observables))
        ]
    )


def test_gradient_is_that_of_the_noisy_values(monkeypatch, rng) -> None:
    variational = shared_and_affine()
    backend = replaced(monkeypatch, noisy_values)
    start, inputs = rng.random(3), rng.normal(size=(1, 2))
    cotangent = rng.normal(size=(1, 2))
    layer = quantum_layer(variational, backend, ParameterShift(), start)
    by_input, by_weight = gradients(layer, inputs, cotangent)
    ideal, _ = gradients(quantum_layer(variational, backend, "adjoint", start), inputs, cotangent)
    assert (by_input - ideal).abs().max() > 0.01
    network, step = layer.neural_network, 1e-4
    weights = layer.weight.detach().numpy()

    def slope(move: np.ndarray) -> float:
        f = [network.forward(inputs + s * move[:2], weights + s * move[2:]) for s in (step, -step)]
        return float(((f[0] - f[1]) * cotangent).sum() / (2 * step))

    expected = [slope(row) for row in np.eye(5)]
    np.testing.assert_allclose([*by_input[0], *by_weight], expected, atol=1e-6)


def test_a_gradient_is_one_job_with_one_pub_a_circuit(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    circuits = [hqconv(channels=1, layers=1), basic_entangling()]
    bank = CircuitBank(circuits, backend, "parameter-shift")
    inputs = [torch.randn(3, 4, requires_grad=True) for _ in circuits]
    values = bank(inputs)
    torch.autograd.grad(sum(v.sum() for v in values), [*inputs, *bank.parameters()])
    method = ParameterShift()
    sets = [3 * method.parameter_sets(circuit) for circuit in circuits]
    # Four inputs, two terms each, and eight controlled rotations, four terms each.
    assert sets[0] == 3 * (4 * 2 + 8 * 4)
    assert counter.parameter_sets == [[3, 3], sets]
    assert all(pub.precision == 0 for job in counter.jobs for pub in job)
    assert np.shape(counter.jobs[1][0].observables) == (4, 1)


def test_only_what_is_needed_is_evaluated(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    bank = CircuitBank([hqconv(channels=1, layers=1)] * 2, backend, "parameter-shift")
    inputs = [torch.randn(2, 4), torch.randn(2, 4, requires_grad=True)]
    bank.layers[1].weight.requires_grad_(False)
    sum(v.sum() for v in bank(inputs)).backward()
    assert counter.parameter_sets[1] == [2 * 8 * 4, 2 * 4 * 2]
    assert inputs[0].grad is None
    assert bank.layers[1].weight.grad is None
    assert inputs[1].grad.abs().max() > 0
    counter.jobs.clear()
    bank.requires_grad_(False)
    assert not bank([torch.randn(2, 4)] * 2)[0].requires_grad
    method = ParameterShift()
    circuit = hqconv(channels=1, layers=1)
    assert method.parameter_sets(circuit, by_inputs=False) == 32
    assert method.parameter_sets(circuit, by_weights=False) == 8


def test_what_cannot_change_costs_nothing(monkeypatch) -> None:
    backend, counter = counted(monkeypatch)
    # One channel of the released circuit: weights, but no gate that takes one.
    variational = hqconv(channels=1, variant="released", layers=2)
    layer = quantum_layer(variational, backend, "parameter-shift")
    layer(torch.randn(2, 4)).sum().backward()
    assert (layer.weight.grad == 0).all()
    layer(torch.empty(0, 4, requires_grad=True)).sum().backward()
    assert counter.parameter_sets == [[2], [0]]


def test_the_published_ansatz_costs_what_it_is_said_to() -> None:
    assert ParameterShift().parameter_sets(hqconv()) == 84 * 4 + 12 * 2
    assert Adjoint().parameter_sets(hqconv()) == 0


def test_the_stock_interface_gives_the_jacobian(rng) -> None:
    inputs = rng.normal(size=(3, 2))
    shifted, exact = (
        quantum_layer(shared_and_affine(), get_backend(), method).neural_network
        for method in ("parameter-shift", "adjoint")
    )
    weights = rng.random(3)
    mine, reference = shifted.backward(inputs, weights), exact.backward(inputs, weights)
    for a, b in zip(mine, reference, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    shifted.input_gradients = False
    by_inputs, by_weights = shifted.backward(inputs, weights)
    assert by_inputs is None
    np.testing.assert_allclose(by_weights, reference[1], atol=1e-10)
