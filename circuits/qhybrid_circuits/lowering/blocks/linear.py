"""Networks of CX and swaps, synthesized again where fewer gates do."""

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import CollectLinearFunctions, HighLevelSynthesis

#: Gates that map basis states to basis states by adding bits.
_LINEAR = ("cx", "swap")


def with_fewer_cx(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit with the same unitary, whose networks of CX are as short as Qiskit has them.

    Each network is a matrix of bits, whatever its gates are, and is written anew by Gaussian
    elimination (Patel, Markov and Hayes, arXiv:quant-ph/0302002). "Full" entanglement of n qubits
    is n (n - 1) / 2 CX in Qiskit's library, and n - 1 afterwards. Where that does not save any
    two-qubit gate, the circuit is returned as it is.
    """
    counts = circuit.count_ops()
    if sum(counts.get(name, 0) for name in _LINEAR) < circuit.num_qubits:
        return circuit  # too few for a network of more gates than needed, mostly
    passes = PassManager([CollectLinearFunctions(), HighLevelSynthesis()])
    shorter = passes.run(circuit)
    saves = shorter.num_nonlocal_gates() < circuit.num_nonlocal_gates()
    return shorter if saves else circuit
