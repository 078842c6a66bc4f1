import pytest
import torch
from torch import nn

from qhybrid_circuits import ShapeError
from qhybrid_circuits.ansatz import brickwork
from qhybrid_runtime import WeightTable, get_backend, model_health, quantum_layer


class Told(nn.Module):
    """A circuit whose angles a table chooses by the sample's number."""

    def __init__(self, observables: list[str] | None = None, *, used: bool = True) -> None:
        super().__init__()
        circuit = brickwork(qubits=2, layers=1, angles="inputs", observables=observables)
        generator = torch.Generator().manual_seed(0)
        self.table = WeightTable(circuit, first=4, choices=(3, 2), generator=generator)
        self.layer = quantum_layer(circuit, get_backend("statevector"))
        self.used = used

    def forward(self, x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        rows = self.table(chosen, chosen % 2)
        rows = rows if self.used else rows.detach()
        return self.layer(torch.cat([x, rows], dim=1))


def test_rows_are_chosen_and_only_they_get_a_gradient(generator: torch.Generator) -> None:
    model = Told().double()
    assert model.table.weight.shape == (3, 2, 8)
    assert 0 <= model.table.weight.min() < model.table.weight.max() < 1
    chosen = torch.tensor([0, 1, 0])
    rows = model.table(chosen, torch.tensor([1, 0, 0]))
    assert torch.equal(rows, model.table.weight[[0, 1, 0], [1, 0, 0]])

    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    model(x, chosen).square().sum().backward()
    assert model.table.weight.grad.abs().amax(-1).gt(0).nonzero().tolist() == [[0, 0], [1, 1]]


def test_gradient_of_the_table_is_that_of_finite_differences(generator: torch.Generator) -> None:
    model = Told().double()
    x = torch.randn(2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    chosen = torch.tensor([2, 1])

    def outputs(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, {"table.weight": weight}, (x, chosen))

    assert torch.autograd.gradcheck(outputs, (model.table.weight, x))


def test_health_counts_the_whole_table() -> None:
    x, chosen = torch.randn(2, 4, dtype=torch.float64), torch.tensor([0, 1])
    health = model_health(Told().double(), x, chosen)
    assert (health.num_weights, health.dead_weights, health.circuits) == (48, 0, 1)
    assert health.parameters_without_gradient == ()

    # Z of qubit 0 does not see the last RX, of qubit 1: one angle for each of 3 * 2 rows.
    health = model_health(Told(["IZ"]).double(), x, chosen)
    assert (health.num_weights, health.dead_weights) == (48, 6)

    health = model_health(Told(used=False).double(), x, chosen)
    assert (health.num_weights, health.dead_weights) == (48, 48)
    assert health.dead_circuits == ("table",)


def test_a_table_of_another_models_circuit_is_not_a_circuits_weights() -> None:
    class Classical(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = WeightTable(brickwork(qubits=2, layers=1), first=0, choices=(1,))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.table.weight.sum()

    health = model_health(Classical(), torch.ones(1, 2))
    assert (health.num_weights, health.circuits) == (0, 0)


@pytest.mark.parametrize(("first", "choices"), [(12, (2,)), (-1, (2,)), (4, ()), (4, (2, 0))])
def test_tables_need_rows_and_columns(first: int, choices: tuple[int, ...]) -> None:
    circuit = brickwork(qubits=2, layers=1, angles="inputs")
    with pytest.raises(ShapeError, match="'brickwork', which has 12"):
        WeightTable(circuit, first=first, choices=choices)
