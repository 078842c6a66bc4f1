import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import PassManager, Target
from qiskit.transpiler.passes import Optimize1qGates

from qhybrid_circuits import CircuitError, build_ansatz, lower, pass_manager
from qhybrid_circuits.encoding import amplitude_encoding
from qhybrid_circuits.lowering import LoweringPass
from qhybrid_circuits.variational import VariationalCircuit

PAIRS = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6)]


@pytest.fixture(scope="module")
def target() -> Target:
    pairs = [*PAIRS, *[(b, a) for a, b in PAIRS]]
    names = ["id", "sx", "x", "rz", "cz"]
    return GenericBackendV2(7, names, coupling_map=pairs, seed=4).target


@pytest.fixture(scope="module")
def ring() -> VariationalCircuit:
    """Four qubits in a ring, which the couplings do not have: qubits must move."""
    return build_ansatz("hqconv", channels=1, layers=1)


def _values(count: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(-1, 1, count)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("fractional", [True, False])
def test_the_layout_takes_observables_along(
    target: Target, ring: VariationalCircuit, bound: bool, fractional: bool
) -> None:
    circuit = ring.bind_weights(_values(ring.num_weights)) if bound else ring.circuit
    values = _values(len(circuit.parameters))
    manager = pass_manager(target, fractional=fractional, cache=False)
    lowered = manager.run(circuit)
    assert lowered.num_qubits == 7
    assert set(lowered.parameters) == set(circuit.parameters)
    assert lowered.name == circuit.name
    words = ["ZIII", "XYZI", "IZXX", "YYYY"]
    observables = [SparsePauliOp(word) for word in words]
    pubs = [
        (circuit, observables, values),
        (lowered, [each.apply_layout(lowered.layout) for each in observables], values),
    ]
    one, other = (each.data.evs for each in StatevectorEstimator().run(pubs).result())
    np.testing.assert_allclose(one, other, atol=1e-7)
    same = lower(circuit, target, fractional=fractional, cache=False)
    assert lowered.num_nonlocal_gates() == same.circuit.num_nonlocal_gates()
    assert tuple(lowered.layout.final_index_layout()) == same.final_layout
    assert lowered.layout.initial_index_layout(filter_ancillas=True) == list(same.final_layout)
    assert sorted(lowered.layout.initial_index_layout()) == list(range(7))


def test_observables_are_those_of_lower(target: Target, ring: VariationalCircuit) -> None:
    observables = (SparsePauliOp("IIIZ"),)
    lowered = pass_manager(target, observables=observables).run(ring.circuit)
    same = lower(ring.circuit, target, observables=observables)
    assert lowered == same.circuit
    other = GenericBackendV2(3, ["id", "sx", "x", "rz", "ecr"]).target
    with pytest.raises(CircuitError, match="whose two-qubit gate is cz"):
        pass_manager(other, fractional=True)


def test_a_result_is_left_as_it_is(target: Target, ring: VariationalCircuit) -> None:
    manager = pass_manager(target)
    once = manager.run(ring.circuit)
    twice = manager.run(once)
    assert twice == once
    assert twice.layout.final_index_layout() == list(range(7))


def test_the_pass_stands_among_others(target: Target, ring: VariationalCircuit) -> None:
    manager = PassManager([Optimize1qGates(["u"]), LoweringPass(target)])
    weights = _values(ring.num_weights)
    circuits = [ring.bind_weights(weights), ring.bind_weights(2 * weights)]
    assert [each.num_qubits for each in manager.run(circuits)] == [7, 7]


def test_measurements_at_the_end_go_along(target: Target) -> None:
    circuit = QuantumCircuit(3, 4, name="measured")
    circuit.x(0)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        circuit.crx(np.pi, a, b)
    circuit.barrier()
    circuit.measure([2, 0], [0, 3])
    lowered = pass_manager(target).run(circuit)
    assert lowered.count_ops()["measure"] == 2
    assert [register.size for register in lowered.cregs] == [4]
    counts = [
        StatevectorSampler(seed=1).run([each], shots=50).result()[0].data.c.get_counts()
        for each in (circuit, lowered)
    ]
    assert counts[0] == counts[1]


def test_what_cannot_be_lowered_is_one_error(target: Target) -> None:
    manager = pass_manager(target)
    early = QuantumCircuit(2, 1, name="early")
    early.measure(0, 0)
    early.x(0)
    controlled = QuantumCircuit(2, 1, name="controlled")
    controlled.measure(0, 0)
    with controlled.if_test((controlled.clbits[0], 1)):
        controlled.x(1)
    twice = QuantumCircuit(2, 2, name="twice")
    twice.measure([0, 0], [0, 1])
    for circuit, named in ((early, "measure"), (controlled, "if_else"), (twice, "measure")):
        with pytest.raises(CircuitError, match=f"'{circuit.name}' .*instruction '{named}'"):
            manager.run(circuit)
    with pytest.raises(CircuitError, match="has 8 qubits, but the target has only 7"):
        manager.run(QuantumCircuit(8))
    with pytest.raises(CircuitError, match="amplitude encoding of symbolic features"):
        manager.run(amplitude_encoding(ParameterVector("x", 4)))
    numbers = manager.run(amplitude_encoding([0.6, 0.0, 0.0, 0.8]))  # a gate without a matrix
    back = SparsePauliOp("XX").apply_layout(numbers.layout)
    assert Statevector(numbers).expectation_value(back) == pytest.approx(0.96)


def test_it_stands_in_a_qnn(target: Target, ring: VariationalCircuit) -> None:
    networks = pytest.importorskip("qiskit_machine_learning.neural_networks")
    manager = pass_manager(target)
    layout = manager.run(ring.circuit).layout
    inputs, weights = _values(4), _values(ring.num_weights)
    parameters = {"input_params": ring.inputs, "weight_params": ring.weights}
    plain = networks.EstimatorQNN(
        circuit=ring.circuit,
        observables=ring.observables,
        estimator=StatevectorEstimator(),
        default_precision=0.0,
        **parameters,
    )
    lowered = networks.EstimatorQNN(
        circuit=ring.circuit,
        observables=[each.apply_layout(layout) for each in ring.observables],
        estimator=StatevectorEstimator(),
        default_precision=0.0,
        pass_manager=manager,
        **parameters,
    )
    np.testing.assert_allclose(
        lowered.forward(inputs, weights), plain.forward(inputs, weights), atol=1e-7
    )
    _, slopes = plain.backward(inputs, weights)
    _, again = lowered.backward(inputs, weights)
    np.testing.assert_allclose(again, slopes, atol=1e-7)
