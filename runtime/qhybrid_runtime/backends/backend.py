from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Self

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from qiskit.transpiler import Target
from torch import Tensor

from qhybrid_circuits import QHybridError
from qhybrid_runtime.compiled import CompiledCircuit, Tensors


class Backend(ABC):
    """Where circuits run, and what can be done there.

    A subclass has a name, says what it can do, and returns a primitive; see CONTRIBUTING.md.
    As a context manager a backend is closed at the end.

    Attributes:
        name: What `get_backend` takes for it.
        exact: Whether expectation values are free of sampling and device noise.
        gradients: The gradient methods it supports, best first.
        target: What circuits must be lowered for, or None where any circuit runs.
        precision: The standard error that is asked of every expectation value; 0 where exact.
        differentiable: Whether torch can differentiate what `evaluate` returns.

    Example:
        >>> from qiskit.primitives import StatevectorEstimator
        >>> from qhybrid_runtime import Backend
        >>> class Reference(Backend):
        ...     name = "reference"
        ...     exact = True
        ...     gradients = ("adjoint", "parameter-shift", "spsa")
        ...
        ...     def estimator(self):
        ...         return StatevectorEstimator()
        >>> Reference().precision
        0.0
    """

    name: str
    exact: bool
    gradients: tuple[str, ...]
    target: Target | None = None
    precision: float = 0.0
    differentiable: bool = False

    @abstractmethod
    def estimator(self) -> BaseEstimatorV2:
        """Return an EstimatorV2 primitive that runs here."""

    def evaluate(
        self, circuits: Sequence[CompiledCircuit], inputs: Tensors, weights: Tensors
    ) -> list[Tensor]:
        """Evaluate one round: circuits that do not wait for each other.

        Here: one job with one PUB a circuit.

        Args:
            circuits: What to evaluate.
            inputs: Shape (B, n_inputs) each.
            weights: Shape (n_weights,) each.

        Returns:
            Expectation values, shape (B, n_outputs) each.

        Raises:
            NotFiniteError: An input or weight is NaN or infinite.
        """
        pubs = [
            circuit.pub(rows, vector, self.precision)
            for circuit, rows, vector in zip(circuits, inputs, weights, strict=True)
        ]
        result = self.estimator().run(pubs).result()
        return [
            torch.as_tensor(np.asarray(pub.data.evs).T).to(rows)
            for pub, rows in zip(result, inputs, strict=True)
        ]

    def at_round(self, number: int) -> None:  # noqa: B027
        """Let what is random from now on follow from this number, and from the backend's seed.

        A training run that is resumed draws the errors that it would have drawn. Here: nothing is
        random.
        """

    def close(self) -> None:  # noqa: B027
        """Give back what is held elsewhere, a session on a QPU for instance; here nothing is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What ended the block says more than that a session, which closes by itself, is still open.
        with nullcontext() if kind is None else suppress(QHybridError):
            self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.name}')"
