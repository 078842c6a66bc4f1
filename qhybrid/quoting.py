"""What rounds of circuits would cost on a QPU, found by asking for each without running it."""

from collections.abc import Iterable, Sequence

import numpy as np
from qiskit.primitives import (
    BaseEstimatorV2,
    DataBin,
    EstimatorPubLike,
    PrimitiveResult,
    PubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from torch import Tensor

from qhybrid_circuits.errors import QHybridError
from qhybrid_runtime import Backend
from qhybrid_runtime.backends.qpu import QpuBackend
from qhybrid_runtime.compiled import CompiledCircuit
from qhybrid_runtime.hardware.quote import Quote


class QuotingBackend(Backend):
    """Asks what each round would cost, and answers with zeros.

    Attributes:
        quotes: One for each round: those of values, and those of gradient methods.
        circuits: How many there were in the rounds of values.
        expected: QPU seconds that the service expects, where it was asked.
        silence: Why it does not tell; empty where it does, or was not asked.
    """

    def __init__(self, backend: QpuBackend, *, ask: bool = False) -> None:
        """Quote a QPU's prices; where `ask`, its service is asked for its own, too."""
        self._backend, self._ask = backend, ask
        self.expected, self.silence = 0.0, ""
        self.name, self.exact, self.gradients = backend.name, False, backend.gradients
        self.precision = backend.precision
        self.quotes: list[Quote] = []
        self.circuits = 0

    def estimator(self) -> "_QuotingEstimator":
        """Return a primitive that quotes, too."""
        return _QuotingEstimator(self._backend, self.quotes)

    def evaluate(
        self,
        circuits: Sequence[CompiledCircuit],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> list[Tensor]:
        """Quote a round, and return zeros (B, n_outputs) for each circuit."""
        self.quotes.append(self._backend.quote(circuits, inputs, weights))
        self.circuits += len(circuits)
        if self._ask and not self.silence:
            self._ask_service(circuits, inputs, weights)
        return [
            rows.new_zeros(len(rows), circuit.variational.num_outputs)
            for circuit, rows in zip(circuits, inputs, strict=True)
        ]

    def _ask_service(
        self,
        circuits: Sequence[CompiledCircuit],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> None:
        try:
            seconds = self._backend.service_seconds(circuits, inputs, weights)
        except QHybridError as error:
            # The bill is worth having without it.
            self.silence = str(error)
            return
        self.silence = "" if seconds is not None else "it does not tell"
        self.expected += seconds or 0.0


class _QuotingEstimator(BaseEstimatorV2):  # type: ignore[misc]
    """The primitive of `QuotingBackend`, which is its own finished job."""

    def __init__(self, backend: QpuBackend, quotes: list[Quote]) -> None:
        self._backend, self._quotes = backend, quotes
        self._shapes: list[tuple[int, ...]] = []

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> "_QuotingEstimator":
        taken = [EstimatorPub.coerce(pub, precision or self._backend.precision) for pub in pubs]
        self._quotes.append(self._backend.quote_pubs(taken))
        self._shapes = [pub.shape for pub in taken]
        return self

    def result(self) -> PrimitiveResult[PubResult]:
        return PrimitiveResult(
            [PubResult(DataBin(evs=np.zeros(shape), shape=shape)) for shape in self._shapes]
        )
