from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from qiskit.circuit import QuantumCircuit

from qhybrid_circuits.encoding.features import Feature, check_features, number_of
from qhybrid_circuits.errors import RequestError


def basis_encoding(features: Sequence[Feature]) -> QuantumCircuit:
    """Prepare the basis state whose qubit i is the bit that feature i holds, in depth one.

    Jo et al. (2026, equation 13). A qubit turns by RY(pi * bit), which takes |0> to |1> without a
    phase, so that the circuit can be built before the bits are known.

    Args:
        features: Feature i, 0 or 1, sets qubit i. Values bound later are checked by `check_bits`.

    Raises:
        CircuitError: There are no features.
        NotFiniteError: A feature is a number that is NaN or infinite.
        RequestError: A feature is a number other than 0 and 1.

    Example:
        >>> from qiskit.circuit import ParameterVector
        >>> from qhybrid_circuits.encoding import basis_encoding
        >>> dict(basis_encoding(ParameterVector("x", 3)).count_ops())
        {'ry': 3}
    """
    check_features(features)
    check_bits([number for f in features if (number := number_of(f)) is not None])
    circuit = QuantumCircuit(len(features), name="basis_encoding")
    for qubit, feature in enumerate(features):
        circuit.ry(np.pi * feature, qubit)
    return circuit


def check_bits(values: ArrayLike) -> None:
    """Raise RequestError if one of the values (..., n_features) is not 0 or 1."""
    array = np.asarray(values, dtype=np.float64)
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise RequestError(
            f"Basis encoding takes bits, 0 or 1, but holds {array[place]:g} at index {place}; "
            "compare the features with a threshold first"
        )
