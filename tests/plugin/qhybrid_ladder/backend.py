from qiskit.primitives import StatevectorEstimator

from qhybrid_runtime import Backend


class ReferenceBackend(Backend):
    """Qiskit's reference simulator, exact and slow."""

    name = "reference"
    exact = True
    gradients = ("adjoint", "parameter-shift", "spsa")

    def __init__(self) -> None:
        self._estimator = StatevectorEstimator()

    def estimator(self) -> StatevectorEstimator:
        return self._estimator
