from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit

from qhybrid_circuits.encoding.features import Feature, check_features


def phase_encoding(features: Sequence[Feature]) -> QuantumCircuit:
    """Encode one feature a qubit as the relative phase of |0> + |1>, by H and then P(feature).

    Jo et al. (2026, equation 17). Without gates after it <Z> of every qubit is zero: the ansatz
    must rotate about X or Y, or measure X or Y.

    Args:
        features: Feature i, an angle in radians, is the phase of qubit i.

    Raises:
        CircuitError: There are no features.
        NotFiniteError: A feature is a number that is NaN or infinite.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import phase_encoding
        >>> phase_encoding(ParameterVector("x", 3)).num_qubits
        3
    """
    check_features(features)
    circuit = QuantumCircuit(len(features), name="phase_encoding")
    for qubit, feature in enumerate(features):
        circuit.h(qubit)
        circuit.p(feature, qubit)
    return circuit
