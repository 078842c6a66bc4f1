from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from qiskit.circuit import Parameter
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.share import Share


class Vjp(NamedTuple):
    """Vector-Jacobian products of one circuit; None where they are not needed.

    Attributes:
        by_inputs: Shape (B, n_inputs).
        by_weights: Shape (n_weights,), summed over the batch.
    """

    by_inputs: Tensor | None
    by_weights: Tensor | None


@dataclass(eq=False)
class RandomStream:
    """The random numbers that one circuit's gradients are drawn from.

    Attributes:
        number: Number of the stream, not negative: circuits with equal seeds, but different
            streams, draw different numbers.
        calls: Number of draws so far. The next one follows from the seed, `number` and `calls`.
    """

    number: int = 0
    calls: int = 0

    def draw(self, seed: int) -> np.random.Generator:
        """Return the generator of the next draw."""
        generator = np.random.default_rng([seed, self.number, self.calls])
        self.calls += 1
        return generator


@dataclass(frozen=True, eq=False)
class Point:
    """One circuit of a round with the inputs and weights to evaluate it at.

    Attributes:
        circuit: The circuit.
        inputs: Shape (B, n_inputs).
        weights: Shape (n_weights,).
        stream: Random numbers of methods that draw some.
        by_inputs: Whether derivatives in the inputs are needed.
        by_weights: Whether derivatives in the weights are needed.
        share: Which samples of a batch these are; None for all.
    """

    circuit: CompiledCircuit
    inputs: Tensor
    weights: Tensor
    stream: RandomStream = field(default_factory=RandomStream)
    by_inputs: bool = True
    by_weights: bool = True
    share: Share | None = None


class GradientMethod(ABC):
    """A method to compute derivatives of expectation values, with its options.

    Equal methods are interchangeable: nothing that changes from call to call is kept here.

    Attributes:
        name: The name that `--gradient` takes.
        differentiable: Whether torch can differentiate what `vjp` returns while gradients are on.

    Example:
        >>> from qhybrid_runtime import Adjoint, GradientMethod, Spsa
        >>> isinstance(Adjoint(), GradientMethod), Spsa(samples=4).name
        (True, 'spsa')
    """

    name: ClassVar[str]
    differentiable: ClassVar[bool] = False

    @abstractmethod
    def vjp(
        self, points: Sequence[Point], cotangents: Sequence[Tensor], backend: Backend
    ) -> list[Vjp]:
        """Return the vector-Jacobian products of a round's circuits that all have this method.

        There is one point, and one cotangent (B, n_outputs), per circuit.
        """

    @abstractmethod
    def jacobian(self, point: Point, backend: Backend) -> np.ndarray:
        """Return each sample's derivatives, shape (B, n_outputs, n_inputs + n_weights).

        Derivatives that are not needed are zero.
        """

    @abstractmethod
    def parameter_sets(
        self, variational: VariationalCircuit, *, by_inputs: bool = True, by_weights: bool = True
    ) -> int:
        """Return the number of parameter sets that a gradient takes on the backend, per sample.

        The forward pass, one more set per sample, is not counted. A parameter set yields all
        outputs; on a QPU it is executed once per shot.

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
