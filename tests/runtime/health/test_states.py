import math

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector, partial_trace, random_statevector

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_runtime.health.states import (
    BINS,
    entangling_capability,
    expressibility,
    random_states,
    states,
)


def one_qubit(gates: str) -> VariationalCircuit:
    weights = ParameterVector("w", gates.count("r"))
    remaining = iter(weights)
    circuit = QuantumCircuit(1)
    for gate in gates.split():
        if gate == "h":
            circuit.h(0)
        else:
            getattr(circuit, gate)(next(remaining), 0)
    return VariationalCircuit("one", circuit, (), tuple(weights), (SparsePauliOp("Z"),))


def reached(variational: VariationalCircuit, count: int = 500) -> np.ndarray:
    return random_states(variational, 1, count, np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"channels": 1, "layers": 2}, {"channels": 2, "layers": 1}])
def test_states_are_qiskits(options: dict[str, int]) -> None:
    variational = build_ansatz("hqconv", **options)
    rng = np.random.default_rng(1)
    inputs = rng.uniform(-3, 3, (2, 3, variational.num_inputs))
    weights = rng.uniform(-3, 3, (2, variational.num_weights))
    found = states(variational, torch.from_numpy(inputs), torch.from_numpy(weights))
    for group in range(2):
        for sample in range(3):
            bound = variational.bind_weights(weights[group]).assign_parameters(
                dict(zip(variational.inputs, inputs[group, sample], strict=True))
            )
            overlap = Statevector(bound).inner(Statevector(found[group, sample]))
            assert abs(overlap) == pytest.approx(1.0, abs=1e-10)


def test_a_circuit_that_reaches_one_state_is_the_least_expressive() -> None:
    """Sim et al. (2019), figure 1: 4.30 for the idle circuit, which is log(75)."""
    same = np.broadcast_to(np.array([1.0, 0.0], complex), (40, 1, 2))
    assert expressibility(same) == pytest.approx(math.log(BINS))


def test_states_on_a_great_circle() -> None:
    """H RZ: fidelities cos^2 have the arcsine density, here in 75 bins.

    Sim et al. (2019), figure 1, has 0.22 from 5,000 pairs.
    """
    edges = np.linspace(0.0, 1.0, BINS + 1)
    shares = np.diff(2 / math.pi * np.arcsin(np.sqrt(edges)))
    expected = float((shares * np.log(shares * BINS)).sum())
    assert expressibility(reached(one_qubit("h rz"))) == pytest.approx(expected, abs=0.01)
    assert expected == pytest.approx(0.22, abs=0.03)


def test_more_rotations_reach_more_states() -> None:
    """Sim et al. (2019), figure 1: 0.22 for H RZ, 0.02 for H RZ RX."""
    two = expressibility(reached(one_qubit("h rz rx")))
    assert 0.0 < two < 0.06
    assert two < expressibility(reached(one_qubit("h rz")))


@pytest.mark.parametrize("qubits", [1, 2, 5, 10])
def test_haar_random_states_have_no_divergence(qubits: int) -> None:
    drawn = [random_statevector(2**qubits, seed=index).data for index in range(400)]
    assert expressibility(np.array(drawn)[:, None]) < 0.02


def test_entanglement_of_known_states() -> None:
    ghz = np.zeros(16, complex)
    ghz[[0, 15]] = math.sqrt(0.5)
    bell_and_one = np.zeros(8, complex)
    bell_and_one[[0, 3]] = math.sqrt(0.5)
    assert entangling_capability(ghz[None]) == pytest.approx(1.0)
    assert entangling_capability(bell_and_one[None]) == pytest.approx(2 / 3)
    product = reached(build_ansatz("basic_entangling", qubits=2, layers=1))
    assert 0.0 < entangling_capability(product) < 1.0
    assert entangling_capability(np.eye(8, dtype=complex)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("qubits", [2, 3, 5])
def test_entanglement_is_that_of_qiskits_reduced_states(qubits: int) -> None:
    state = random_statevector(2**qubits, seed=qubits)
    purities = [
        partial_trace(state, [other for other in range(qubits) if other != q]).purity().real
        for q in range(qubits)
    ]
    assert entangling_capability(state.data[None]) == pytest.approx(2 - 2 * np.mean(purities))
