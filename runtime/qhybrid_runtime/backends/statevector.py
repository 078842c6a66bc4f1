from collections.abc import Sequence

from torch import Tensor

from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.registry import BACKENDS
from qhybrid_runtime.backends.statevector_estimator import StatevectorEngineEstimator
from qhybrid_runtime.qnn import BroadcastEstimatorQNN
from qhybrid_runtime.round import evaluate_by_engine


class StatevectorBackend(Backend):
    """The exact engine: values and gradients on the tensors' own device, in their own dtype."""

    name = "statevector"
    exact = True
    gradients = BACKENDS["statevector"].gradients

    def estimator(self) -> StatevectorEngineEstimator:
        """Return the engine as a primitive, for use in any EstimatorQNN."""
        return StatevectorEngineEstimator()

    def evaluate(
        self,
        networks: Sequence[BroadcastEstimatorQNN],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> list[Tensor]:
        """Evaluate one round, circuits of one structure as one batched call."""
        return evaluate_by_engine(networks, inputs, weights)
