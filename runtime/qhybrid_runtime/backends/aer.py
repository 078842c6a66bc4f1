from qhybrid_runtime.backends.aer_estimator import AerStatevectorEstimator
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.registry import BACKENDS


class AerBackend(Backend):
    """Qiskit Aer's statevector simulator: exact values, gradients from the engine's adjoint."""

    name = "aer"
    exact = True
    gradients = BACKENDS["aer"].gradients

    def __init__(self, threads: int | None = None) -> None:
        """Make the simulator.

        Args:
            threads: Circuits that are simulated at once; one a processor where omitted.

        Raises:
            RequestError: `threads` is not a positive whole number.
        """
        self._estimator = AerStatevectorEstimator(threads)

    def estimator(self) -> AerStatevectorEstimator:
        """Return the primitive, shared by all layers of this backend."""
        return self._estimator
