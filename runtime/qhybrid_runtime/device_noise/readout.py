from collections.abc import Mapping

import numpy as np
from qiskit.quantum_info import PauliList, SparsePauliOp

#: Coefficients below this are rounding errors.
_ZERO = 1e-14


def with_readout_error(
    observable: SparsePauliOp, confusion: Mapping[int, np.ndarray]
) -> SparsePauliOp:
    """Return the observable whose exact value is the expectation value of faulty readings.

    Reading a qubit that holds t as m with probability p(m|t), which is `confusion[qubit][t, m]`,
    turns Z into a Z + b with a = 1 - p(1|0) - p(0|1) and b = p(0|1) - p(1|0). X and Y are read as Z
    after a rotation, so the same holds for them; the rotation is taken to be free of noise. A
    string on k qubits becomes up to 2**k strings where readings are asymmetric, and stays one where
    they are not.

    Args:
        observable: On all qubits of the circuit.
        confusion: Qubit -> probabilities (2, 2) of reading m where it holds t, at [t, m].

    Example:
        >>> import numpy as np
        >>> from qiskit.quantum_info import SparsePauliOp
        >>> from qhybrid_runtime.device_noise import with_readout_error
        >>> confusion = {0: np.array([[0.9, 0.1], [0.1, 0.9]])}
        >>> with_readout_error(SparsePauliOp("Z"), confusion).coeffs.real.round(6).tolist()
        [0.8]
    """
    noisy = observable
    for qubit, table in confusion.items():
        noisy = _with_one(noisy, qubit, 1 - table[0, 1] - table[1, 0], table[1, 0] - table[0, 1])
    return noisy


def _with_one(observable: SparsePauliOp, qubit: int, slope: float, offset: float) -> SparsePauliOp:
    paulis, coefficients = observable.paulis, observable.coeffs
    read = paulis.x[:, qubit] | paulis.z[:, qubit]
    scaled = SparsePauliOp(paulis, np.where(read, slope * coefficients, coefficients))
    if abs(offset) < _ZERO or not read.any():
        return scaled
    z, x = paulis.z[read].copy(), paulis.x[read].copy()
    z[:, qubit] = x[:, qubit] = False
    shifted = PauliList.from_symplectic(z, x)
    # simplify() always keeps a string, with coefficient 0 where nothing is left.
    return (scaled + SparsePauliOp(shifted, offset * coefficients[read])).simplify()
