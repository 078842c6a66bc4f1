from collections.abc import Sequence
from typing import Literal

from qiskit.circuit import QuantumCircuit

from qhybrid_circuits.encoding.features import Feature, check_features
from qhybrid_circuits.errors import CircuitError

RotationAxis = Literal["x", "y"]


def angle_encoding(features: Sequence[Feature], *, axis: RotationAxis = "x") -> QuantumCircuit:
    """Encode one feature a qubit as the angle of a rotation of |0>, in depth one.

    De Falco et al. (2024, section 3.1) turn about X, so that <Z> of a qubit is cos(feature).
    Features are angles in radians; images in [-1, 1] are used as they are.

    Args:
        features: Feature i turns qubit i.
        axis: "x" or "y". A rotation about z would leave |0> as it is.

    Raises:
        CircuitError: `axis` is not "x" or "y", or there are no features.
        NotFiniteError: A feature is a number that is NaN or infinite.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import angle_encoding
        >>> dict(angle_encoding(ParameterVector("x", 3)).count_ops())
        {'rx': 3}
    """
    if axis not in ("x", "y"):
        raise CircuitError(f"Argument `axis` must be 'x' or 'y', but is '{axis}'")
    check_features(features)
    circuit = QuantumCircuit(len(features), name="angle_encoding")
    for qubit, feature in enumerate(features):
        (circuit.rx if axis == "x" else circuit.ry)(feature, qubit)
    return circuit
