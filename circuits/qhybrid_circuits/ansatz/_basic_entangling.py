from collections.abc import Sequence

from qiskit.circuit import Parameter, QuantumCircuit

from qhybrid_circuits.ansatz._layers import Topology, check_choice, check_count, layered_circuit
from qhybrid_circuits.variational import VariationalCircuit


def basic_entangling(
    *, qubits: int = 4, layers: int = 4, topology: Topology = "paper"
) -> VariationalCircuit:
    """Build an RX on every qubit, then a ring of CNOTs, `layers` times.

    De Falco et al. (2024, section 3.1) use it for the last channel of a fully quantum vertex, on
    four qubits. The weight is the angle in radians. The paper names three layers; its authors'
    code has four, which the published parameter counts agree with, and so has the default here.

    With `topology` "heavy-hex" or "line" (the same here) the ring is left open between the last and
    the first qubit; this is ours, not the paper's, and another circuit with as many weights.

    Args:
        qubits: Qubits in the ring, at least two.
        layers: Repetitions after the encoding.
        topology: "paper", "heavy-hex" or "line".

    Raises:
        CircuitError: `qubits` is below two or `layers` below one, or `topology` is unknown.

    Example:
        >>> from qhybrid_circuits.ansatz import basic_entangling
        >>> circuit = basic_entangling(qubits=4, layers=4)
        >>> circuit.num_qubits, circuit.num_inputs, circuit.num_weights
        (4, 4, 16)
    """
    check_count("basic_entangling", "qubits", qubits, least=2)
    check_count("basic_entangling", "layers", layers)
    check_choice("basic_entangling", "topology", topology, Topology)
    # Two qubits have one pair; closing the ring would undo it.
    closed = topology == "paper" and qubits > 2

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        for qubit, weight in enumerate(weights):
            circuit.rx(weight, qubit)
        for qubit in range(qubits if closed else qubits - 1):
            circuit.cx(qubit, (qubit + 1) % qubits)

    return layered_circuit("basic_entangling", qubits, layers, qubits, add_layer)
