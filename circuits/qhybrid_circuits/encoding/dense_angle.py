from collections.abc import Sequence

from qiskit.circuit import QuantumCircuit

from qhybrid_circuits.encoding.features import Feature, check_features
from qhybrid_circuits.errors import ShapeError


def dense_angle_encoding(features: Sequence[Feature]) -> QuantumCircuit:
    """Encode two features a qubit, as the angles of RY and then RZ.

    Jo et al. (2026, equation 18): qubit k is cos(x/2)|0> + exp(iy) sin(x/2)|1>, up to a global
    phase, with x = feature 2k and y = feature 2k + 1. Their equation 19 writes x for x/2.

    Args:
        features: Angles in radians, an even number of them.

    Raises:
        CircuitError: There are no features.
        ShapeError: The number of features is odd.
        NotFiniteError: A feature is a number that is NaN or infinite.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import dense_angle_encoding
        >>> dense_angle_encoding(ParameterVector("x", 6)).num_qubits
        3
    """
    check_features(features)
    if len(features) % 2:
        raise ShapeError(
            "Dense angle encoding takes two features a qubit, but Argument `features` holds "
            f"{len(features)}; append one that is 0"
        )
    circuit = QuantumCircuit(len(features) // 2, name="dense_angle_encoding")
    for qubit in range(circuit.num_qubits):
        circuit.ry(features[2 * qubit], qubit)
        circuit.rz(features[2 * qubit + 1], qubit)
    return circuit
