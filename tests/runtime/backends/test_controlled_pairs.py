import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, Pauli, Statevector, random_unitary

from qhybrid_circuits.ansatz import fqconv, hqconv
from qhybrid_runtime import get_backend
from qhybrid_runtime.backends.aer import merge_controlled_pairs


@pytest.mark.parametrize(("build", "pairs"), [(hqconv, 18), (fqconv, 16)])
def test_function_is_unchanged(build, pairs: int, rng) -> None:
    circuit = build(channels=2, layers=2).bind_weights(
        rng.random(build(channels=2, layers=2).num_weights)
    )
    circuit = circuit.assign_parameters(rng.normal(size=8))
    merged = merge_controlled_pairs(circuit)
    assert merged.count_ops().get("cu", 0) == pairs
    np.testing.assert_allclose(Operator(merged).data, Operator(circuit).data, atol=1e-12)


def test_other_gates_keep_their_place(rng) -> None:
    circuit = QuantumCircuit(3, global_phase=0.3)
    free = Parameter("x")
    circuit.ch(0, 1)
    circuit.cry(0.4, 0, 1)
    circuit.cp(0.1, 1, 0)  # the other way round: another run
    circuit.rx(free, 2)
    circuit.crx(0.3, 0, 2)
    circuit.crx(free, 0, 2)
    circuit.crz(0.3, 0, 2)
    circuit.crx(0.3, 0, 2, ctrl_state=0)
    circuit.ccx(0, 1, 2)
    merged = merge_controlled_pairs(circuit)
    assert [item.operation.name for item in merged.data] == [
        "cu", "cp", "rx", "crx", "crx", "crz", "crx_o0", "ccx"
    ]  # fmt: skip
    value = {free: float(rng.normal())}
    expected = Operator(circuit.assign_parameters(value))
    np.testing.assert_allclose(
        Operator(merged.assign_parameters(value)).data, expected.data, atol=1e-12
    )


def test_gates_that_qiskit_does_not_know_are_left_as_they_are(seed: int) -> None:
    """A controlled gate of a user's own has a definition and no matrix."""
    gate = UnitaryGate(random_unitary(2, seed=seed))
    circuit = QuantumCircuit(2)
    circuit.h(0)
    for state in (1, 1, 0):
        circuit.append(gate.control(1, ctrl_state=state), [0, 1])
    assert len(merge_controlled_pairs(circuit).data) == 4
    (result,) = get_backend("aer").estimator().run([(circuit, ["ZZ", "XI"])]).result()
    state = Statevector(circuit)
    expected = [state.expectation_value(Pauli(name)).real for name in ("ZZ", "XI")]
    np.testing.assert_allclose(result.data.evs, expected, atol=1e-10)
