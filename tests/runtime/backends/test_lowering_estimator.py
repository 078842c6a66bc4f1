import threading

import numpy as np
import pytest
import torch
from device_circuits import ideal_lattice, ideal_values, pub_of, ring
from exact_device import ExactClient
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_runtime.backends.lowering_estimator import LoweringEstimator
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.hardware.billing import PrimitiveSettings
from qhybrid_runtime.hardware.job_packing import Packing
from qhybrid_runtime.hardware.jobs import HardwareExecutor
from qhybrid_runtime.hardware.ledger import Ledger


@pytest.fixture
def client() -> ExactClient:
    return ExactClient()


@pytest.fixture
def estimator(client: ExactClient) -> LoweringEstimator:
    target = ideal_lattice(2, 3)
    executor = HardwareExecutor(
        "device",
        target,
        client,
        PrimitiveSettings(),
        packing=Packing(1, target),
        ledger=Ledger(None),
    )
    return LoweringEstimator(executor, precision=0.1)


def layer_pub(compiled: CompiledCircuit, inputs: np.ndarray, weights: np.ndarray) -> EstimatorPub:
    """Return the PUB of a layer, which knows its weights."""
    return compiled.pub(torch.as_tensor(inputs), torch.as_tensor(weights), 0.1)


def symbols(client: ExactClient) -> list[int]:
    """Parameters that the circuits of the last job were left with."""
    return [pub.lowered.circuit.num_parameters for pub in client.jobs[-1]]


def test_weights_are_bound_and_inputs_are_not(estimator, client, rng) -> None:
    circuit = ring()
    inputs, weights = rng.normal(size=(2, 3)), rng.normal(size=3)
    result = estimator.run([pub_of(circuit, inputs, weights)]).result()
    np.testing.assert_allclose(
        result[0].data.evs, ideal_values(circuit, inputs, weights), atol=1e-10
    )
    assert symbols(client) == [3]
    # One sample tells nothing of what differs, but the layer does.
    estimator.run([layer_pub(CompiledCircuit(circuit), inputs[:1], weights)]).result()
    assert symbols(client) == [3]


@pytest.mark.parametrize(
    ("inputs_name", "weights_name"), [("weights", "inputs"), ("weights", "theta"), ("x", "inputs")]
)
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_names_mean_nothing(estimator, client, rng, inputs_name, weights_name, samples) -> None:
    x, w = ParameterVector(inputs_name, 3), ParameterVector(weights_name, 3)
    usual = ring()
    renamed = dict(zip([*usual.inputs, *usual.weights], [*x, *w], strict=True))
    circuit = usual.circuit.assign_parameters(renamed)
    variational = VariationalCircuit("named", circuit, tuple(x), tuple(w), usual.observables)
    inputs, weights = rng.normal(size=(samples, 3)), rng.normal(size=3)
    values = estimator.run([layer_pub(CompiledCircuit(variational), inputs, weights)]).result()
    expected = ideal_values(usual, inputs, weights)
    np.testing.assert_allclose(values[0].data.evs, expected, atol=1e-10)
    assert symbols(client) == [3]
    # As a circuit from elsewhere: what the samples share is bound, whatever its name.
    places = [[*x, *w].index(parameter) for parameter in circuit.parameters]
    rows = np.hstack([inputs, np.tile(weights, (samples, 1))])[:, places]
    column = [[observable] for observable in usual.observables]
    values = estimator.run([(circuit, column, rows)]).result()
    np.testing.assert_allclose(values[0].data.evs, expected, atol=1e-10)
    assert symbols(client) == [6 if samples == 1 else 3]


def test_a_circuit_is_lowered_once(estimator, client, rng) -> None:
    circuit, weights = ring(), rng.normal(size=3)
    for _ in range(2):
        estimator.run([pub_of(circuit, rng.normal(size=(2, 3)), weights)]).result()
    first, second = (job[0].lowered for job in client.jobs)
    assert first is second
    estimator.run([pub_of(circuit, rng.normal(size=(2, 3)), weights + 1)]).result()
    assert client.jobs[-1][0].lowered is not first


@pytest.mark.parametrize(("vectors", "expected"), [(2, [3, 3]), (4, [3] * 4), (5, [6])])
def test_few_weight_vectors_are_lowered_each_and_many_stay_symbolic(
    estimator, client, rng, vectors: int, expected: list[int]
) -> None:
    circuit = ring()
    compiled = CompiledCircuit(circuit)
    inputs, weights = rng.normal(size=(6, 3)), rng.normal(size=(vectors, 3))
    owner = np.arange(6) % vectors
    rows = np.concatenate([inputs, weights[owner]], axis=1)
    result = estimator.run([compiled.pub_of(compiled.circuit, rows, 0.1)]).result()
    wanted = np.hstack(
        [ideal_values(circuit, inputs[i : i + 1], weights[owner[i]]) for i in range(6)]
    )
    np.testing.assert_allclose(result[0].data.evs, wanted, atol=1e-10)
    assert symbols(client) == expected


def test_without_a_layer_shared_columns_are_bound(estimator, client) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.crx(b, 0, 1)
    z = SparsePauliOp("ZI")
    values = np.array([[0.3, 0.7], [0.4, 0.7], [0.5, 0.7]])
    result = estimator.run([(circuit, z, values)]).result()
    expected = [Statevector(circuit.assign_parameters(row)).expectation_value(z) for row in values]
    np.testing.assert_allclose(result[0].data.evs, np.real(expected), atol=1e-10)
    assert symbols(client) == [1]
    estimator.run([(circuit, z, values[:1])]).result()
    assert symbols(client) == [2]


def test_pub_shapes_are_those_of_every_estimator(estimator) -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.cx(0, 1)
    fixed = QuantumCircuit(1)
    fixed.h(0)
    zz, xi = SparsePauliOp("ZI"), SparsePauliOp("XX")
    pubs = [
        (circuit, zz, [0.1]),
        (circuit, [[zz], [xi]], [[0.1], [0.2], [0.3]]),
        (circuit, zz, np.empty((0, 1))),
        (fixed, [SparsePauliOp("X"), SparsePauliOp("Z")]),
    ]
    shapes = [np.shape(entry.data.evs) for entry in estimator.run(pubs).result()]
    assert shapes == [(), (2, 3), (0,), (2,)]
    values = estimator.run(pubs).result()
    np.testing.assert_allclose(values[1].data.evs[0], np.cos([0.1, 0.2, 0.3]), atol=1e-10)
    np.testing.assert_allclose(values[3].data.evs, [1, 0], atol=1e-10)
    assert list(estimator.run([]).result()) == []


def test_one_task_serves_the_pubs_of_a_stock_network(estimator, client, rng) -> None:
    circuit = ring()
    network = EstimatorQNN(
        circuit=circuit.circuit,
        estimator=estimator,
        observables=list(circuit.observables),
        input_params=list(circuit.inputs),
        weight_params=list(circuit.weights),
        default_precision=0.1,
    )
    inputs, weights = rng.normal(size=(2, 3)), rng.normal(size=3)
    values = network.forward(inputs, weights)
    np.testing.assert_allclose(values.T, ideal_values(circuit, inputs, weights), atol=1e-10)
    ((pub,),) = client.jobs
    assert len(pub.observables) == 3


def test_precision_is_one_number_greater_than_zero(estimator) -> None:
    pub = pub_of(ring(), np.zeros((1, 3)), np.zeros(3))
    with pytest.raises(RequestError, match="greater than 0 for all PUBs of a job, but is 0"):
        estimator.run([pub], precision=0.0)
    with pytest.raises(RequestError, match=r"but is 0\.1, 0\.2"):
        estimator.run([(*pub, 0.1), (*pub, 0.2)])


def test_the_round_runs_in_the_callers_thread(estimator, client, monkeypatch) -> None:
    # Else Ctrl-C would not stop a program that waits for a device.
    threads = []
    wait = client.wait
    monkeypatch.setattr(
        client, "wait", lambda *given: (threads.append(threading.current_thread()), wait(*given))[1]
    )
    estimator.run([pub_of(ring(), np.zeros((1, 3)), np.zeros(3))])
    assert threads == [threading.current_thread()]
