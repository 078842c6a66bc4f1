import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits import CircuitError, ShapeError, VariationalCircuit

X, W = Parameter("x"), Parameter("w")


def circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.rx(X, 0)
    circuit.ry(W, 1)
    return circuit


Z = SparsePauliOp("ZI")


def test_bind_weights_leaves_inputs_symbolic() -> None:
    bound = VariationalCircuit("c", circuit(), [X], [W], [Z]).bind_weights(np.array([0.5]))
    assert set(bound.parameters) == {X}


def test_weights_without_a_gate_are_allowed() -> None:
    spare = Parameter("spare")
    variational = VariationalCircuit("c", circuit(), (X,), (W, spare), (Z,))
    assert variational.num_weights == 2
    assert set(variational.bind_weights([0.1, 0.2]).parameters) == {X}


def test_bind_weights_checks_the_number() -> None:
    variational = VariationalCircuit("c", circuit(), (X,), (W,), (Z,))
    with pytest.raises(ShapeError, match=r"must have shape \(1,\).* has shape \(2,\)"):
        variational.bind_weights([1.0, 2.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VariationalCircuit("c", circuit(), (X,), (), (Z,)), "but w is neither"),
        (lambda: VariationalCircuit("c", circuit(), ("x",), (W,), (Z,)), "must be Parameters"),
        (lambda: VariationalCircuit("c", circuit(), (X, W), (W,), (Z,)), "w is listed more"),
        (lambda: VariationalCircuit("c", circuit(), (X,), (W,), ()), "at least one observable"),
        (
            lambda: VariationalCircuit("c", circuit(), (X,), (W,), (SparsePauliOp("Z"),)),
            "must act on 2 qubits, but acts on 1",
        ),
        (lambda: VariationalCircuit("c", circuit(), (X,), (W,), (1j * Z,)), "must be Hermitian"),
        (lambda: VariationalCircuit("c", circuit(), (X,), (W,), Z), "a sequence of SparsePauliOp"),
        (lambda: VariationalCircuit("c", circuit(), (X,), (W,), ("ZI",)), "but is a str; write"),
        (lambda: VariationalCircuit("c", circuit(), (X,), (W,), (Z - Z,)), "must not be zero"),
    ],
)
def test_what_does_not_belong_together_is_named(build, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        build()
