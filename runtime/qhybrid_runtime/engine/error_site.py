import numpy as np
from qiskit.circuit import Gate


class ErrorSite(Gate):  # type: ignore[misc]
    """A place in a circuit where a Pauli operator may act on one qubit; else the identity.

    The engine takes for each sample which operator acts at each site: see `expectations`. Sites
    count in the order of the circuit's instructions.
    """

    def __init__(self) -> None:
        super().__init__("error_site", 1, [])

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.eye(2, dtype=complex)

    def inverse(self, annotated: bool = False) -> "ErrorSite":
        """Return the same: a Pauli operator is its own inverse."""
        return ErrorSite()
