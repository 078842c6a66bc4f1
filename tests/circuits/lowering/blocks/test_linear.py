import numpy as np
from qiskit.circuit.library import efficient_su2, real_amplitudes
from qiskit.quantum_info import Operator

from qhybrid_circuits.lowering.blocks.linear import with_fewer_cx


def test_full_entanglement_takes_a_chain(rng: np.random.Generator) -> None:
    circuit = real_amplitudes(5, entanglement="full", reps=2)
    shorter = with_fewer_cx(circuit)
    assert circuit.num_nonlocal_gates() == 20
    assert shorter.num_nonlocal_gates() == 8
    values = dict(zip(circuit.parameters, rng.uniform(-3, 3, 15), strict=True))
    bound = Operator(circuit.assign_parameters(values))
    assert Operator(shorter.assign_parameters(values)) == bound


def test_a_network_that_is_as_short_as_it_gets_is_left_alone() -> None:
    circuit = efficient_su2(5, entanglement="circular")
    assert with_fewer_cx(circuit) is circuit
