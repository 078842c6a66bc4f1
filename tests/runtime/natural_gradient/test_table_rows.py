import copy
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector
from torch import Tensor, nn

from qhybrid_circuits import RequestError, build_ansatz
from qhybrid_runtime import CircuitBank, WeightTable, get_backend
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient


class Chosen(nn.Module):
    """A circuit of complex amplitudes whose angles are rows of a table of two choices."""

    def __init__(self, layers: int = 1, seed: int = 0) -> None:
        super().__init__()
        circuit = build_ansatz(
            "brickwork", qubits=2, layers=layers, angles="inputs", amplitudes="complex"
        )
        generator = torch.Generator().manual_seed(seed)
        self.table = WeightTable(circuit, first=8, choices=(3, 2), generator=generator)
        self.bank = CircuitBank([circuit], get_backend("statevector"))

    def forward(self, x: Tensor, *chosen: Tensor) -> Tensor:
        (values,) = self.bank([torch.cat([x, self.table(*chosen).to(x)], dim=1)])
        return values


TIMES, CLASSES = torch.tensor([0, 2, 2, 0, 2]), torch.tensor([1, 0, 0, 1, 1])


def batch(seed: int = 0, rows: int = 5) -> Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)).double()


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    return ((model(x, TIMES[: len(x)], CLASSES[: len(x)]) - 0.3) ** 2).mean()


def metric_of(model: Chosen, x: Tensor, angles: Tensor) -> Tensor:
    """Of a row's angles by fourth-order differences of qiskit's states, averaged over x."""
    variational, step = model.table.variational, 1e-3

    def state(sample: Tensor, moved: np.ndarray) -> np.ndarray:
        values = dict(zip(variational.inputs, [*sample.tolist(), *moved], strict=True))
        return Statevector(variational.circuit.assign_parameters(values)).data

    total, at = np.zeros((len(angles), len(angles))), angles.detach().numpy()
    for sample in x:
        slopes = []
        for way in step * np.eye(len(at)):
            near = state(sample, at + way) - state(sample, at - way)
            far = state(sample, at + 2 * way) - state(sample, at - 2 * way)
            slopes.append((8 * near - far) / (12 * step))
        rows = np.array(slopes)
        along = rows @ state(sample, at).conj()
        total += (rows.conj() @ rows.T - np.outer(along.conj(), along)).real
    return torch.tensor(total / len(x))


def test_a_row_moves_by_the_metric_of_its_own_samples() -> None:
    """(G + r 1) step = lr times the gradient of the row's mean loss; other rows stay."""
    model, x = Chosen().double(), batch()
    before = model.table.weight.detach().clone()
    optimizer = QuantumNaturalGradient(model, 0.2, regularization=0.05)
    loss_of(model, x).backward()
    optimizer.step()
    moved = (before - model.table.weight.detach()) / 0.2
    for time, label in {(0, 1), (2, 0), (2, 1)}:
        own = (time == TIMES) & (label == CLASSES)
        row = before[time, label].clone().requires_grad_()
        inputs = torch.cat([x[own], row.expand(int(own.sum()), -1)], dim=1)
        ((model.bank([inputs])[0] - 0.3) ** 2).mean().backward()
        metric = metric_of(model, x[own], row)
        left = metric @ moved[time, label] + 0.05 * moved[time, label]
        torch.testing.assert_close(left, row.grad, atol=1e-8, rtol=1e-6)
        assert moved[time, label].abs().max() > 1e-3
    for time, label in {(0, 0), (1, 0), (1, 1)}:
        assert not moved[time, label].any()


def test_metrics_of_several_sets_are_those_of_each() -> None:
    variational = build_ansatz("hqconv", channels=1, layers=2)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(3, 2, 4, generator=generator).double()
    weights = torch.rand(3, 16, generator=generator).double()
    found = fubini_study_metric(variational, inputs, weights)
    for each, rows, at in zip(found, inputs, weights, strict=True):
        torch.testing.assert_close(each, fubini_study_metric(variational, rows, at))


def test_samples_are_taken_at_even_distances_and_in_blocks() -> None:
    models = [Chosen(layers=2).double() for _ in range(3)]
    options: list[dict[str, Any]] = [{}, {"metric_samples": 1}, {"block_diagonal": True}]
    for model, changed in zip(models, options, strict=True):
        optimizer = QuantumNaturalGradient(model, 0.1, **changed)
        loss_of(model, batch()).backward()
        optimizer.step()
    weights = [model.table.weight.detach() for model in models]
    assert torch.allclose(weights[0][2, 1], weights[1][2, 1])  # it has one sample in any case
    assert not torch.allclose(weights[0][2, 0], weights[1][2, 0])
    assert not torch.allclose(weights[0][2, 0], weights[2][2, 0])


@pytest.mark.parametrize("every", [1, 3])
def test_a_resumed_run_is_the_same(every: int, tmp_path: Any) -> None:
    def run(model: nn.Module, descent: QuantumNaturalGradient, steps: range) -> None:
        for step in steps:
            descent.zero_grad()
            loss_of(model, batch(step, rows=2 + step % 4)).backward()
            descent.step()

    model = Chosen()
    optimizer = QuantumNaturalGradient(model, 0.1, metric_every=every)
    run(model, optimizer, range(4))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    resumed = copy.deepcopy(model)
    other = QuantumNaturalGradient(resumed, 0.5)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    run(model, optimizer, range(4, 8))
    run(resumed, other, range(4, 8))
    assert torch.equal(model.table.weight, resumed.table.weight)


def test_descent_lowers_the_loss() -> None:
    model, x = Chosen(layers=2), batch().float()
    optimizer = QuantumNaturalGradient(model, 0.2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(model, x)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


def test_what_has_no_metric_is_named() -> None:
    model = Chosen()
    loss_of(model, batch().float()).backward()
    with pytest.raises(RequestError, match="before the forward pass"):
        QuantumNaturalGradient(model).step()
    with pytest.raises(RequestError, match="must belong to one QuantumLayer, but 0 have"):
        QuantumNaturalGradient(model.table)
