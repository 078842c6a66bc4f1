from collections.abc import Iterable

import torch
from torch import Tensor

from qhybrid_circuits import RequestError, VariationalCircuit
from qhybrid_runtime.layer import QuantumLayer
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.recorder import InputRecorder
from qhybrid_runtime.weight_table import WeightTable


class TableRows:
    """The rows of a `WeightTable` as weights of its circuit.

    Attributes:
        table: The table.
        layer: The circuit that takes its rows as inputs.
        variational: The same circuit with a row for weights, and all else for inputs.
    """

    def __init__(self, table: WeightTable, layers: Iterable[QuantumLayer]) -> None:
        """Find the table's circuit among some layers.

        Raises:
            RequestError: It is none of them, or more than one.
        """
        own = [layer for layer in layers if layer.variational is table.variational]
        known = table.variational
        if len(own) != 1:
            raise RequestError(
                f"The table of weights of circuit '{known.name}' must belong to one QuantumLayer, "
                f"but {len(own)} have its circuit; build one circuit for each"
            )
        self.table, self.layer = table, own[0]
        self.variational = VariationalCircuit(
            known.name,
            known.circuit,
            (*known.inputs[: table.first], *known.weights),
            known.inputs[table.first :],
            known.observables,
        )

    def given(self, recorder: InputRecorder) -> tuple[Tensor, Tensor] | None:
        """Return the row of each sample, (B,), and the circuit's other inputs; None if unknown."""
        chosen, inputs = recorder.inputs_of(self.table), recorder.inputs_of(self.layer)
        if chosen is None or inputs is None or len(chosen) != len(inputs):
            return None
        rows = torch.zeros_like(chosen[:, 0])
        for choice, count in zip(chosen.unbind(1), self.table.weight.shape, strict=False):
            rows = rows * count + choice
        own = self.layer.weight.detach().expand(len(inputs), -1)
        return rows, torch.cat([inputs[:, : self.table.first], own], dim=1)

    def metrics(
        self, rows: Tensor, inputs: Tensor, wanted: Tensor, samples: int, *, block_diagonal: bool
    ) -> Tensor:
        """Return the metric of some rows (R, n, n), each averaged over its own samples at most.

        Args:
            rows: Row of each sample, (B,).
            inputs: Of each sample, as `given` returns them.
            wanted: The rows, (R,), each that of a sample.
            samples: The most that a row's metric is averaged over, at even distances.
            block_diagonal: See `fubini_study_metric`.
        """
        places = []
        for row in wanted.tolist():
            found = (rows == row).nonzero().flatten()
            count = min(len(found), samples)
            places.append(found[torch.arange(count, device=found.device) * len(found) // count])
        weights = self.table.weight.detach().flatten(0, -2)[wanted]
        size = self.variational.num_weights
        metrics = weights.new_zeros(len(wanted), size, size, dtype=torch.float64)
        # Rows of as many samples are computed together.
        for count in sorted({len(found) for found in places}):
            alike = [index for index, found in enumerate(places) if len(found) == count]
            batch = inputs[torch.stack([places[index] for index in alike])]
            metrics[alike] = fubini_study_metric(
                self.variational, batch, weights[alike], block_diagonal=block_diagonal
            )
        return metrics
