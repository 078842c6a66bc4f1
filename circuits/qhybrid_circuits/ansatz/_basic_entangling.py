from collections.abc import Sequence

from qiskit.circuit import Parameter, QuantumCircuit

from qhybrid_circuits.ansatz._layers import check_count, layered_circuit
from qhybrid_circuits.variational import VariationalCircuit


def basic_entangling(*, qubits: int = 4, layers: int = 4) -> VariationalCircuit:
    """Build an RX on every qubit, then a ring of CNOTs, `layers` times.

    De Falco et al. (2024, section 3.1) use it for the last channel of a fully quantum vertex, on
    four qubits. The weight is the angle in radians. The paper names three layers; its authors'
    code has four, which the published parameter counts agree with, and so has the default here.

    Args:
        qubits: Qubits in the ring, at least two.
        layers: Repetitions after the encoding.

    Raises:
        CircuitError: `qubits` is below two or `layers` below one.
    """
    check_count("basic_entangling", "qubits", qubits, least=2)
    check_count("basic_entangling", "layers", layers)

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        for qubit, weight in enumerate(weights):
            circuit.rx(weight, qubit)
        # Two qubits have one pair; closing the ring would undo it.
        for qubit in range(qubits if qubits > 2 else 1):
            circuit.cx(qubit, (qubit + 1) % qubits)

    return layered_circuit("basic_entangling", qubits, layers, qubits, add_layer)
