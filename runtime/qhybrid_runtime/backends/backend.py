from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qiskit.primitives import BaseEstimatorV2
from qiskit.transpiler import Target
from torch import Tensor

from qhybrid_runtime.round import evaluate_by_estimator

if TYPE_CHECKING:
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN


class Backend(ABC):
    """Where circuits run, and what can be done there.

    Attributes:
        name: What `get_backend` takes for it.
        exact: Whether expectation values are free of sampling and device noise.
        gradients: The gradient methods it supports, best first.
        target: What circuits must be lowered for, or None where any circuit runs.
        precision: The standard error that is asked of every expectation value; 0 where exact.
    """

    name: str
    exact: bool
    gradients: tuple[str, ...]
    target: Target | None = None
    precision: float = 0.0

    @abstractmethod
    def estimator(self) -> BaseEstimatorV2:
        """Return an EstimatorV2 primitive that runs here."""

    def evaluate(
        self,
        networks: Sequence["BroadcastEstimatorQNN"],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> list[Tensor]:
        """Evaluate one round: circuits that do not wait for each other.

        Here: one job with one PUB a circuit.

        Args:
            networks: One a circuit, all of this backend.
            inputs: Shape (B, n_inputs) each.
            weights: Shape (n_weights,) each.

        Returns:
            Shape (B, n_outputs) each, differentiable by the networks' gradient method.
        """
        return evaluate_by_estimator(networks, inputs, weights)

    def at_round(self, number: int) -> None:  # noqa: B027
        """Let what is random from now on follow from this number, and from the backend's seed.

        A training run that is resumed draws the errors that it would have drawn. Here: nothing is
        random.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.name}')"
