import pytest
from qiskit.circuit import Measure, Parameter, QuantumCircuit
from qiskit.circuit.library import CZGate, RZGate, SXGate
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import InstructionProperties, Target

from qhybrid_circuits import CircuitError, lower
from tests.selection import thorough


def ring_target(
    gates: dict[tuple[int, int], float | None],
    readout: dict[int, float | None],
    pulses: dict[int, float | None],
) -> Target:
    """Return a ring of eight qubits, good ones but for the errors given."""

    def properties(error: float | None) -> InstructionProperties:
        return InstructionProperties(error=error, duration=1e-7)

    target = Target(num_qubits=8)
    ring = [(q, (q + 1) % 8) for q in range(8)]
    target.add_instruction(CZGate(), {pair: properties(gates.get(pair, 0.01)) for pair in ring})
    target.add_instruction(SXGate(), {(q,): properties(pulses.get(q, 1e-3)) for q in range(8)})
    target.add_instruction(RZGate(Parameter("a")), {(q,): properties(0.0) for q in range(8)})
    target.add_instruction(Measure(), {(q,): properties(readout.get(q, 0.02)) for q in range(8)})
    return target


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("broken", [1.0, *thorough([None])])
@pytest.mark.parametrize("kind", ["pair", "readout", "pulse"])
def test_what_is_out_of_order_is_not_used(kind: str, broken: float | None, symbolic: bool) -> None:
    errors: dict[str, dict] = {"pair": {}, "readout": {}, "pulse": {}}
    errors[kind] = {(1, 2) if kind == "pair" else 1: 0.5 if kind == "readout" else broken}
    target = ring_target(errors["pair"], errors["readout"], errors["pulse"])
    # A closed ring of five has no place without swaps, and a line of seven has one place.
    for size in (5, 7):
        circuit = QuantumCircuit(size)
        for qubit in range(size if size == 5 else size - 1):
            circuit.h([qubit, (qubit + 1) % size])
            if symbolic:
                circuit.crx(Parameter(f"x{qubit}"), qubit, (qubit + 1) % size)
            else:
                circuit.cx(qubit, (qubit + 1) % size)
        lowered = lower(circuit, target, observables=[SparsePauliOp("Z" * size)], cache=False)
        pairs = {
            tuple(sorted(lowered.circuit.find_bit(bit).index for bit in item.qubits))
            for item in lowered.circuit.data
            if len(item.qubits) == 2
        }
        assert (1, 2) not in pairs
        assert kind == "pair" or 1 not in lowered.qubits
        if not symbolic:
            assert lowered.success_probability > 0.3


def test_what_is_out_of_order_is_used_where_nothing_else_fits() -> None:
    circuit = QuantumCircuit(8)
    for qubit in range(7):
        circuit.cx(qubit, qubit + 1)
    target = ring_target({(1, 2): 1.0, (5, 6): 1.0}, {}, {})
    assert lower(circuit, target, cache=False).success_probability == 0.0


def test_a_device_without_a_working_pair_is_an_error() -> None:
    target = ring_target({(q, (q + 1) % 8): 1.0 for q in range(8)}, {}, {})
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    with pytest.raises(CircuitError, match="every pair out of order"):
        lower(circuit, target, cache=False)
