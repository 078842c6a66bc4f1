import torch
from torch import Tensor, nn

from qhybrid_circuits import ShapeError, VariationalCircuit


class WeightTable(nn.Module):
    """Weights that are chosen for each sample, and so enter a circuit as inputs.

    A circuit's own weights are the same for a whole batch. Weights that depend on the sample, on
    its time step or class for instance, are rows of a table, trained like weights and bound like
    data.

    Attributes:
        variational: The circuit.
        first: Index of the first of the circuit's inputs that a row is for; a row has all from
            there on.
        weight: The table, (*choices, num_inputs - first), initially uniform in [0, 1), as a
            circuit's weights are.

    Example:
        >>> from qhybrid_circuits import build_ansatz
        >>> from qhybrid_runtime import WeightTable
        >>> circuit = build_ansatz("brickwork", qubits=2, layers=1, angles="inputs")
        >>> table = WeightTable(circuit, first=4, choices=(10, 3))  # 10 steps, 3 classes
        >>> table.weight.shape
        torch.Size([10, 3, 8])
    """

    weight: Tensor

    def __init__(
        self,
        variational: VariationalCircuit,
        *,
        first: int,
        choices: tuple[int, ...],
        generator: torch.Generator | None = None,
    ) -> None:
        """Make a table with a row for each combination of choices.

        Args:
            variational: The circuit.
            first: Index of the first input that a row is for.
            choices: The number of values of each thing that a row depends on, all positive.
            generator: Source of the initial weights; torch's own where omitted.

        Raises:
            ShapeError: The circuit has no input from `first` on, or there is nothing to choose.
        """
        super().__init__()
        columns = variational.num_inputs - first
        if first < 0 or columns < 1 or min(choices, default=0) < 1:
            raise ShapeError(
                f"A table of weights needs rows and columns, but has {choices} rows for the inputs "
                f"from {first} of circuit '{variational.name}', which has {variational.num_inputs}"
            )
        self.variational, self.first = variational, first
        self.weight = nn.Parameter(torch.rand((*choices, columns), generator=generator))

    @property
    def num_columns(self) -> int:
        """Weights that a sample gets."""
        return int(self.weight.shape[-1])

    def forward(self, *chosen: Tensor) -> Tensor:
        """Return the rows (B, num_columns) of a batch, from each choice's index per sample."""
        return self.weight[chosen]

    def extra_repr(self) -> str:
        return f"{self.variational}, rows {tuple(self.weight.shape[:-1])}"
