"""Tell Qiskit's standard gates, and decompose all others.

A gate made of a circuit may have any name, also that of a standard gate ("p", "u", "id"). So gates
are told by their classes, never by their names alone.
"""

from qiskit import QuantumCircuit
from qiskit.circuit import Instruction, Operation, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler.passes import HighLevelSynthesis

_CLASSES = frozenset(gate.base_class for gate in get_standard_gate_name_mapping().values())


def is_standard(operation: Operation) -> bool:
    """Return whether an operation is one of Qiskit's standard gates, whatever its control state."""
    return isinstance(operation, Instruction) and operation.base_class in _CLASSES


def symbolic_params(operation: Operation) -> list[int]:
    """Return the positions of an operation's parameters that are not numbers."""
    # Cliffords and annotated operations are not instructions, and have no parameters of their own.
    params = operation.params if isinstance(operation, Instruction) else ()
    symbols = enumerate(isinstance(p, ParameterExpression) and bool(p.parameters) for p in params)
    return [index for index, symbolic in symbols if symbolic]


def definition_of(operation: Operation) -> QuantumCircuit | None:
    """Return an operation's definition, or None where it has none.

    Cliffords and annotated operations are not instructions; Qiskit synthesizes these.
    """
    if isinstance(operation, Instruction):
        return operation.definition
    circuit = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    circuit.append(operation, range(operation.num_qubits), range(operation.num_clbits))
    made = HighLevelSynthesis()(circuit)
    unchanged = any(not isinstance(item.operation, Instruction) for item in made.data)
    return None if unchanged else made


def with_standard_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit in which all gates that are not standard ones are decomposed.

    A gate without a definition, which has only a matrix, stays as it is.
    """
    if all(is_standard(instruction.operation) for instruction in circuit.data):
        return circuit
    decomposed = circuit.copy_empty_like()
    for instruction in circuit.data:
        operation = instruction.operation
        definition = None if is_standard(operation) else definition_of(operation)
        if definition is None:
            decomposed.append(instruction)
        else:
            qubits, clbits = instruction.qubits, instruction.clbits
            decomposed.compose(with_standard_gates(definition), qubits, clbits, inplace=True)
    return decomposed
