from collections.abc import Sequence
from typing import Literal

from qiskit.circuit import Parameter, QuantumCircuit

from qhybrid_circuits.ansatz._layers import check_choice, check_count, layered_circuit
from qhybrid_circuits.variational import VariationalCircuit

#: "published" is the paper's circuit, whose weights do nothing; "trainable" is ours.
AttentionVariant = Literal["trainable", "published"]


def qattention(
    *, qubits: int = 16, layers: int = 3, variant: AttentionVariant = "trainable"
) -> VariationalCircuit:
    """Build a quantum channel attention: RY encoding, a weight a qubit and layer, <Z>.

    Chen et al. (2025, section IV.D), figure 2. A weight is an angle in radians.

    With `variant="published"` a layer is RZ(weight) on every qubit, then CNOTs down the chain from
    qubit 0. All weights are dead. RZ multiplies each basis state by a phase, and a CNOT takes
    basis states to basis states, so that all layers together are a permutation P of the basis
    times phases that depend on the weights: |b> -> exp(i phi(b)) |P b>. A measurement of Z sees
    |<P b|state>|^2 = |<b|encoded inputs>|^2 alone, and the phases are gone. What is left is known
    in closed form: output i is the product of cos(x_j) over those j <= i for which the binomial
    (i - j + layers - 1 over layers - 1) is odd, in three layers those with i - j = 0 or 1 mod 4.

    With `variant="trainable"`, which is ours, a layer is a chain of CZ, then RY(weight) on every
    qubit. It has as many weights, encodes and measures as published, and differs so that

    - all weights act, and each in its own way: the rank is their number. With RX in the place of
      the published RZ it would be 45 of 48.
    - a rotation stands last. A last chain of CZ would commute with what is measured.
    - an entangling gate stands first. RY(weight) next to RY(x) would only add to x, as the bias of
      the linear layer that gives x does already.
    - no output fades. After a chain of CNOTs Z of qubit i is the parity of qubits 0 to i, and its
      derivatives shrink with i; CZ brings in one neighbour on each side a layer. The mean variance
      of the derivatives is nine times that of RY in the place of the published RZ.
    - it is short: CZ is native to today's QPUs, and the CZ of a chain take two time steps.

    Args:
        qubits: Qubits of the chain, at least two; as many inputs and outputs.
        layers: Repetitions after the encoding.
        variant: "trainable" or "published".

    Raises:
        CircuitError: `qubits` is below two, `layers` below one, or `variant` unknown.

    Example:
        >>> from qhybrid_circuits.ansatz import qattention
        >>> circuit = qattention(qubits=16, layers=3)
        >>> circuit.num_qubits, circuit.num_inputs, circuit.num_weights
        (16, 16, 48)
    """
    check_count("qattention", "qubits", qubits, least=2)
    check_count("qattention", "layers", layers)
    check_choice("qattention", "variant", variant, AttentionVariant)

    def add_layer(circuit: QuantumCircuit, weights: Sequence[Parameter]) -> None:
        if variant == "trainable":
            for first in (0, 1):
                for qubit in range(first, qubits - 1, 2):
                    circuit.cz(qubit, qubit + 1)
        for qubit, weight in enumerate(weights):
            (circuit.ry if variant == "trainable" else circuit.rz)(weight, qubit)
        if variant == "published":
            for qubit in range(qubits - 1):
                circuit.cx(qubit, qubit + 1)

    return layered_circuit("qattention", qubits, layers, qubits, add_layer, axis="y")
