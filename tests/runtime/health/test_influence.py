from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector
from torch import Tensor, nn

from qhybrid_circuits import VariationalCircuit, build_ansatz
from qhybrid_circuits.errors import CircuitError, ShapeError
from qhybrid_runtime import CircuitBank, QuantumLayer, WeightTable, get_backend, quantum_layer
from qhybrid_runtime.health import Change, Influence, circuits_changed, influence
from qhybrid_runtime.health.influence import WAYS, circuit_modules, relative_change
from qhybrid_runtime.layer import on_backend

CIRCUIT = build_ansatz("hqconv", channels=1, layers=1)
SHARE = 0.25


class Sum(nn.Module):
    """The inputs plus a quarter of what a circuit makes of them."""

    def __init__(self, share: float = SHARE) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.circuit = quantum_layer(CIRCUIT, get_backend("statevector"), generator=generator)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return x + self.share * self.circuit(x) if self.share else x


@pytest.fixture
def x(rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.normal(size=(6, 4)))


def exact(circuit: VariationalCircuit, x: Tensor, weights: Tensor) -> np.ndarray:
    """The circuit's outputs by qiskit.quantum_info."""
    rows = []
    for row in x.numpy():
        bound = dict(zip(circuit.inputs, row, strict=True))
        bound |= dict(zip(circuit.weights, weights.detach().numpy(), strict=True))
        state = Statevector(circuit.circuit.assign_parameters(bound))
        rows.append([state.expectation_value(each).real for each in circuit.observables])
    return np.array(rows)


def change(usual: np.ndarray, changed: np.ndarray) -> float:
    return float(np.sqrt(((usual - changed) ** 2).mean()) / usual.std(ddof=1))


def test_each_way_is_what_a_known_module_gives_without_its_circuit(x: Tensor) -> None:
    model = Sum().double()
    values = exact(CIRCUIT, x, model.circuit.weight)
    usual = x.numpy() + SHARE * values
    generator = torch.Generator().manual_seed(3)
    order, next_order = (torch.randperm(6, generator=generator).numpy() for _ in range(2))
    others = torch.rand(8, generator=torch.Generator().manual_seed(3)).double()
    replaced = {
        "mean": values.mean(0),
        "shuffled": values[order],
        "random": exact(CIRCUIT, x, others),
        "zero": 0.0,
    }
    drawn = {**replaced, "shuffled": values[next_order]}
    found = influence(
        model, (x,), lambda y: y.square().mean(), samples=lambda: 2 * model(x), seed=3
    )
    for way, outputs in replaced.items():
        changed = x.numpy() + SHARE * outputs
        loss, was = (changed**2).mean(), (usual**2).mean()
        got = getattr(found, way)
        assert got.output == pytest.approx(change(usual, changed), rel=1e-9)
        assert got.loss == pytest.approx((loss - was) / was, rel=1e-9)
        samples = 2 * (x.numpy() + SHARE * drawn[way])
        assert got.samples == pytest.approx(change(2 * usual, samples), rel=1e-9)
    assert len({getattr(found, way).output for way in WAYS}) == 4


def test_a_circuit_that_nothing_reads_changes_exactly_nothing(x: Tensor) -> None:
    found = influence(Sum(share=0).double(), (x,), lambda y: y.mean())
    assert found == Influence(*[Change(0.0, 0.0)] * 4)


def test_circuits_of_a_bank_are_shuffled_alike_and_keep_their_places(x: Tensor) -> None:
    bank = CircuitBank([CIRCUIT, CIRCUIT], get_backend("statevector")).double()
    assert circuit_modules(bank) == [bank]
    usual = bank([x, x])
    with circuits_changed(bank, "shuffled", seed=1):
        shuffled = bank([x, x])
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(a[order], b) for a, b in zip(usual, shuffled, strict=True))
    at_places = x.reshape(3, 2, 4)
    with circuits_changed(bank, "mean"):
        mean = bank([at_places, at_places])[0]
    torch.testing.assert_close(mean, bank([at_places] * 2)[0].mean(0).expand(3, 2, 4))
    assert not torch.allclose(mean[:, 0], mean[:, 1])


class Chosen(nn.Module):
    """A circuit whose weights are rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        circuit = build_ansatz("brickwork", qubits=2, layers=1, angles="inputs")
        generator = torch.Generator().manual_seed(0)
        self.table = WeightTable(circuit, first=4, choices=(3,), generator=generator)
        self.circuit = quantum_layer(circuit, get_backend("statevector"))

    def forward(self, x: Tensor, choice: Tensor) -> Tensor:
        return self.circuit(torch.cat([x, self.table(choice)], dim=1))


def test_rows_of_a_table_are_weights_too(x: Tensor) -> None:
    model, choice = Chosen().double(), torch.arange(6) % 3
    usual = model(x, choice)
    own = model.table.weight.detach().clone()
    with torch.no_grad():
        weights = torch.rand(own.shape, generator=torch.Generator().manual_seed(1))
        model.table.weight.copy_(weights)
        expected = relative_change(usual, model(x, choice))
        model.table.weight.copy_(own)
    assert influence(model, (x, choice), seed=1).random.output == pytest.approx(expected)
    assert expected > 0.01
    assert torch.equal(model.table.weight, own)


@pytest.mark.parametrize("way", WAYS)
def test_a_block_that_fails_leaves_the_model_as_it_was(way: str, x: Tensor) -> None:
    model, state = Sum().double(), torch.get_rng_state()
    usual, weights = model(x), model.circuit.weight.detach().clone()
    with suppress(KeyError), circuits_changed(model, way, seed=1):
        assert not torch.equal(model(x), usual)
        raise KeyError
    assert torch.equal(model.circuit.weight, weights)
    assert torch.equal(model(x), usual)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides(x: Tensor) -> None:
    model = Sum().double()
    first, again, other = (influence(model, (x,), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.mean == other.mean
    assert first.shuffled != other.shuffled
    assert first.random != other.random


def test_other_modules_in_the_circuits_place(x: Tensor) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    found = influence(model, (x,), modules=[model[0]])
    silent = model[2](torch.zeros(6, 4, dtype=torch.float64))
    usual = model(x).detach().numpy()
    assert found.zero.output == pytest.approx(change(usual, silent.detach().numpy()))
    assert found.zero.loss is None


REFUSED: dict[str, tuple[type[Exception], Callable[[], Any]]] = {
    "no circuits": (CircuitError, lambda: influence(nn.Linear(4, 4), (torch.ones(2, 4),))),
    "one sample": (ShapeError, lambda: influence(Sum(), (torch.ones(1, 4),))),
    "no arguments": (ShapeError, lambda: influence(Sum(), ())),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_influence_is_refused(what: str) -> None:
    error, call = REFUSED[what]
    with pytest.raises(error):
        call()


def test_figures_survive_json() -> None:
    found = Influence(Change(0.1), Change(0.2, -0.3), Change(0.4, 0.5, 0.6), Change(0.0, 0.0))
    assert found.to_dict()["mean"] == {"output": 0.1, "loss": None}
    assert found.to_dict()["shuffled"] == {"output": 0.2, "loss": -0.3}
    assert Influence.from_dict(found.to_dict()) == found


def test_layers_return_to_their_backends() -> None:
    own, exactly = get_backend("aer"), get_backend("statevector")
    layer: QuantumLayer = quantum_layer(CIRCUIT, own)
    with suppress(KeyError), on_backend(nn.Sequential(layer), exactly):
        assert layer.backend is exactly
        raise KeyError
    assert layer.backend is own
