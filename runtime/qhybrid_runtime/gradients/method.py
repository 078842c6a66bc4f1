from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from qiskit.circuit import Parameter
from torch import Tensor

from qhybrid_circuits import VariationalCircuit

if TYPE_CHECKING:
    from qhybrid_runtime.qnn import BroadcastEstimatorQNN

#: The gradients of a point's inputs (B, n_inputs) and weights (n_weights,); None where not needed.
Products = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True, eq=False)
class Point:
    """Where one circuit of a round is to be differentiated, and in what.

    Attributes:
        network: The circuit with its estimator.
        inputs: Shape (B, n_inputs).
        weights: Shape (n_weights,).
        by_inputs: Whether derivatives in the inputs are needed.
        by_weights: Whether derivatives in the weights are needed.
    """

    network: "BroadcastEstimatorQNN"
    inputs: Tensor
    weights: Tensor
    by_inputs: bool = True
    by_weights: bool = True


class GradientMethod(ABC):
    """A way to derivatives of expectation values, with its options.

    Equal methods are interchangeable: nothing that changes from call to call is kept here.

    Attributes:
        name: What `--gradient` takes for it.
    """

    name: ClassVar[str]

    @abstractmethod
    def products(self, points: Sequence[Point], cotangents: Sequence[Tensor]) -> list[Products]:
        """Return the vector-Jacobian products of the circuits of one round.

        Args:
            points: One a circuit, all with this method.
            cotangents: Shape (B, n_outputs) each.
        """

    @abstractmethod
    def jacobian(self, point: Point) -> np.ndarray:
        """Return each sample's derivatives, shape (B, n_outputs, n_inputs + n_weights).

        Derivatives that are not needed are zero.
        """

    @abstractmethod
    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        """Return how many parameter sets a gradient takes on the backend, per sample.

        The forward pass, one more set a sample, is not counted. A parameter set yields all outputs;
        on a device it is executed as often as there are shots.

        Args:
            variational: The circuit.
            by_inputs: Whether derivatives in the inputs are needed, as they are wherever something
                that is trained comes before the circuit.
            by_weights: Whether derivatives in the weights are needed.

        Raises:
            CircuitError: The method has no rule for a gate of the circuit.
        """


def needed_parameters(
    variational: VariationalCircuit, by_inputs: bool, by_weights: bool
) -> list[Parameter]:
    """Return the parameters in which derivatives are needed."""
    inputs = variational.inputs if by_inputs else ()
    return [*inputs, *(variational.weights if by_weights else ())]
