import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from random_circuits import STANDARD_GATES, exact_values, random_variational

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_circuits.ansatz import fqconv, hqconv
from qhybrid_runtime.estimators import AerStatevectorEstimator, StatevectorEngineEstimator

ESTIMATORS = [AerStatevectorEstimator, StatevectorEngineEstimator]


def values_of(estimator, variational: VariationalCircuit, inputs, weights) -> np.ndarray:
    table = {p: inputs[:, i] for i, p in enumerate(variational.inputs)}
    table |= {p: np.full(len(inputs), weights[i]) for i, p in enumerate(variational.weights)}
    parameters = variational.circuit.parameters
    values = np.stack([table[p] for p in parameters], axis=1) if len(parameters) else None
    column = [[o] for o in variational.observables]
    return estimator.run([(variational.circuit, column, values)]).result()[0].data.evs.T


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("variational", [hqconv(), fqconv()], ids=repr)
def test_paper_circuits_with_symbolic_weights(estimator, variational, rng) -> None:
    # Aer's own EstimatorV2 is off by up to 0.75 here: it mis-binds symbolic controlled rotations.
    inputs = rng.normal(size=(3, variational.num_inputs))
    weights = rng.random(variational.num_weights)
    actual = values_of(estimator(), variational, inputs, weights)
    expected = exact_values(variational, inputs, weights)
    np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "name", sorted(n for n, gate in STANDARD_GATES.items() if gate.params and gate.num_qubits)
)
def test_every_parameterized_gate_may_stay_symbolic(estimator, name: str, rng) -> None:
    template = STANDARD_GATES[name]
    inputs = ParameterVector("x", len(template.params))
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.u(*rng.normal(size=3), qubit)
    gate = template.base_class(*(1.3 * x - 0.2 for x in inputs))
    circuit.append(gate, [2, 0, 1][: gate.num_qubits])
    observables = (SparsePauliOp("ZXY"), SparsePauliOp(["IZI", "XIX"], [0.5, 2.0]))
    variational = VariationalCircuit(name, circuit, tuple(inputs), (), observables)
    rows = rng.normal(size=(4, len(inputs)))
    actual = values_of(estimator(), variational, rows, np.empty(0))
    expected = exact_values(variational, rows, np.empty(0))
    np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_random_circuits(estimator, rng) -> None:
    for num_qubits in (1, 2, 3, 5):
        variational = random_variational(rng, num_qubits, 15)
        rows, weights = rng.normal(size=(3, 3)), rng.normal(size=4)
        actual = values_of(estimator(), variational, rows, weights)
        expected = exact_values(variational, rows, weights)
        np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pub_shapes_are_those_of_the_reference_estimator(estimator, rng) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.cry(b, 0, 1)
    fixed = QuantumCircuit(2)
    fixed.h(0)
    zz, xi = SparsePauliOp("ZZ"), SparsePauliOp("XI")
    pubs = [
        (circuit, zz, [0.1, 0.2]),
        (circuit, [zz, xi], rng.normal(size=(2, 2))),
        (circuit, [[zz], [xi], ["0Z"]], rng.normal(size=(4, 2))),
        (circuit, [[[zz]], [[xi]]], rng.normal(size=(3, 2, 2))),
        (circuit, zz, np.tile([0.3, 0.4], (5, 1))),
        (circuit, zz, np.empty((0, 2))),
        (fixed, [zz, xi, zz]),
    ]
    actual = estimator().run(pubs).result()
    # The reference estimator knows neither projectors nor empty PUBs.
    pubs[2] = (circuit, [[zz], [xi], [SparsePauliOp(["IZ", "ZZ"], [0.5, 0.5])]], pubs[2][2])
    del pubs[5]
    expected = StatevectorEstimator().run(pubs).result()
    kept = [actual[index] for index in (0, 1, 2, 3, 4, 6)]
    for mine, reference in zip(kept, expected, strict=True):
        assert np.shape(mine.data.evs) == np.shape(reference.data.evs)
        np.testing.assert_allclose(mine.data.evs, reference.data.evs, atol=1e-12)
        assert np.all(np.asarray(mine.data.stds) == 0)
    assert actual[5].data.evs.shape == (0,)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_precision_is_refused(estimator) -> None:
    with pytest.raises(RequestError, match=r"precision must be 0, but is 0\.1"):
        estimator().run([(QuantumCircuit(1), SparsePauliOp("Z"))], precision=0.1)
