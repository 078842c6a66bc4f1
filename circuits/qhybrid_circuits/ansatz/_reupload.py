from typing import Literal

from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid_circuits.ansatz._layers import check_choice, check_count
from qhybrid_circuits.variational import VariationalCircuit

#: Which qubits are neighbours: a ring of 12 is a cell of heavy-hex and the rim of 2 x 6 qubits of a
#: square lattice, a line of any length is in both.
Neighbours = Literal["ring", "line"]


def reupload(
    *, qubits: int = 12, layers: int = 3, topology: Neighbours = "ring"
) -> VariationalCircuit:
    """Build H on every qubit, then layers of RY(input), with entangling gates between them.

    Ours, after the data re-uploading of Perez-Salinas et al. (2020): every layer takes inputs of
    its own, so that the outputs are products of sines and cosines of all of them. Between two
    layers are RZ on every qubit, RZZ on every second pair of neighbours, the others the next time,
    and RX on every qubit. A weight is an angle in radians, and so is an input. The last layer of RY
    ends the circuit.

    From |+> the first RY gives <Z> = -sin(input): without weights the outputs are linear in small
    inputs, where RY from |0> would make them even. RZZ and RX of any angle are native to current
    QPUs ("fractional gates"), and those between two layers act at one time.

    The outputs are <Z> of each qubit, then <ZZ> of each pair of neighbours, in one basis.

    Args:
        qubits: At least two.
        layers: Of RY; at least two, since entangling gates stand between them.
        topology: "ring" or "line".

    Raises:
        CircuitError: `qubits` or `layers` is below two, or `topology` unknown.

    Example:
        >>> from qhybrid_circuits.ansatz import reupload
        >>> circuit = reupload(qubits=12, layers=3)
        >>> circuit.num_inputs, circuit.num_outputs
        (36, 24)
    """
    check_count("reupload", "qubits", qubits, least=2)
    check_count("reupload", "layers", layers, least=2)
    check_choice("reupload", "topology", topology, Neighbours)
    closed = topology == "ring" and qubits > 2
    pairs = [(q, (q + 1) % qubits) for q in range(qubits if closed else qubits - 1)]
    inputs = ParameterVector("x", layers * qubits)
    entangled = [pairs[layer % 2 :: 2] for layer in range(layers - 1)]
    weights = ParameterVector("w", sum(2 * qubits + len(each) for each in entangled))
    remaining = iter(weights)
    circuit = QuantumCircuit(qubits, name="reupload")
    circuit.h(range(qubits))
    for layer in range(layers):
        if layer:
            for qubit in range(qubits):
                circuit.rz(next(remaining), qubit)
            for pair in entangled[layer - 1]:
                circuit.rzz(next(remaining), *pair)
            for qubit in range(qubits):
                circuit.rx(next(remaining), qubit)
        for qubit in range(qubits):
            circuit.ry(inputs[layer * qubits + qubit], qubit)
    terms = [("Z", [qubit], 1.0) for qubit in range(qubits)]
    terms += [("ZZ", list(pair), 1.0) for pair in pairs]
    observables = [SparsePauliOp.from_sparse_list([term], qubits) for term in terms]
    return VariationalCircuit(
        "reupload", circuit, tuple(inputs), tuple(weights), tuple(observables)
    )
