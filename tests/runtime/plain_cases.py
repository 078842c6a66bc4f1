"""Circuits that are no plain circuits of gates, with what they amount to, or why they are not."""

from collections.abc import Callable

from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import Parameter
from qiskit.circuit.library import StatePreparation

X, W = Parameter("x"), Parameter("w")
Build = Callable[[], QuantumCircuit]


def gates(circuit: QuantumCircuit | None = None) -> QuantumCircuit:
    """Append gates with both parameters to a circuit, a new one of two qubits where omitted."""
    circuit = QuantumCircuit(2) if circuit is None else circuit
    circuit.rx(X, 0)
    circuit.ry(W, 1)
    circuit.cx(0, 1)
    circuit.rz(X * W, 1)
    circuit.h(0)
    return circuit


def _measured() -> QuantumCircuit:
    circuit = gates(QuantumCircuit(2, 3))
    circuit.barrier()
    circuit.measure([0, 1], [2, 0])
    return circuit


def _all_measured() -> QuantumCircuit:
    circuit = gates()
    circuit.measure_all()
    return circuit


def _initialized(reset: bool = True) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.barrier()
    if reset:
        circuit.initialize([0.6, 0, 0, 0.8j])
    else:
        circuit.append(StatePreparation([0.6, 0, 0, 0.8j]), [0, 1])
    return gates(circuit)


def _reset() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.reset([0, 1])
    return gates(circuit)


def _wrapped() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.append(_initialized().to_instruction(), [1, 0])
    return circuit


def _unwrapped() -> QuantumCircuit:
    return QuantumCircuit(2).compose(_initialized(reset=False), [1, 0])


def _loops() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    with circuit.for_loop((0, 2)) as outer:
        circuit.rx(X + outer, 0)
        with circuit.for_loop(range(1, 3)) as inner:
            circuit.ry(W * inner, 1)
        with circuit.for_loop(range(2)):
            circuit.cx(0, 1)
    with circuit.box():
        circuit.h(0)
    return circuit


def _unrolled() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    for outer in (0, 2):
        circuit.rx(X + outer, 0)
        circuit.ry(W, 1)
        circuit.ry(2 * W, 1)
    circuit.h(0)
    return circuit


def _from_qasm() -> QuantumCircuit:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg a[1]; qreg b[1]; creg c[2]; h a; cx a, b;'
    return gates(qasm2.loads(text))


def _bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return gates(circuit)


#: A circuit, and one of gates with the same expectation values.
SAME: dict[str, tuple[Build, Build]] = {
    "classical bits": (lambda: gates(QuantumCircuit(2, 2)), gates),
    "qasm": (_from_qasm, _bell),
    "measure_all": (_all_measured, gates),
    "measure": (_measured, gates),
    "initialize": (_initialized, lambda: _initialized(reset=False)),
    "reset": (_reset, gates),
    "wrapped": (_wrapped, _unwrapped),
    "loops": (_loops, _unrolled),
}


def _early() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    return gates(circuit)


def _late_reset() -> QuantumCircuit:
    circuit = gates()
    circuit.reset(1)
    return circuit


def _branching() -> QuantumCircuit:
    circuit = gates(QuantumCircuit(2, 1))
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def _waiting() -> QuantumCircuit:
    circuit = gates(QuantumCircuit(2, 1))
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.x(0)
    return circuit


def _leaving() -> QuantumCircuit:
    circuit = gates()
    with circuit.for_loop(range(3)):
        circuit.x(0)
        circuit.break_loop()
    return circuit


def _measuring_loop() -> QuantumCircuit:
    circuit = gates(QuantumCircuit(2, 1))
    with circuit.for_loop(range(2)):
        circuit.h(0)
        circuit.measure(0, 0)
    return circuit


#: A circuit, and the name of the instruction that it is refused for.
REFUSED: dict[str, tuple[Build, str]] = {
    "early": (_early, "measure"),
    "reset": (_late_reset, "reset"),
    "if": (_branching, "if_else"),
    "while": (_waiting, "while_loop"),
    "break": (_leaving, "break_loop"),
    "loop": (_measuring_loop, "measure"),
}
