import copy
from typing import Any

import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor, nn

from qhybrid_circuits import RequestError, VariationalCircuit, build_ansatz
from qhybrid_runtime import CircuitBank, QuantumLayer, get_backend, quantum_layer
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from qhybrid_runtime.natural_gradient.optimizer import QuantumNaturalGradient


def hqconv(seed: int = 0, **options: Any) -> QuantumLayer:
    variational = build_ansatz("hqconv", **{"channels": 1, "layers": 2, **options})
    generator = torch.Generator().manual_seed(seed)
    return quantum_layer(variational, get_backend("statevector"), generator=generator)


def loss_of(layer: nn.Module, inputs: Tensor) -> Tensor:
    return ((layer(inputs) - 0.3) ** 2).mean()


def batch(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


def test_step_solves_the_regularized_system() -> None:
    layer = hqconv().double()
    before, inputs = layer.weight.detach().clone(), batch(12).double()
    optimizer = QuantumNaturalGradient(layer, 0.2, regularization=0.05, metric_samples=4)
    loss_of(layer, inputs).backward()
    optimizer.step()
    metric = fubini_study_metric(layer.variational, inputs[::3], before)
    moved = (before - layer.weight.detach()) / 0.2
    assert layer.weight.grad is not None
    left = metric @ moved + 0.05 * moved
    assert torch.allclose(left, layer.weight.grad, atol=1e-12)
    assert moved.abs().max() > 1e-3


def test_one_rotation_follows_the_exact_flow() -> None:
    """<Z> = cos(w) after RY(w): the step is lr sin(w) / (1/4 + r)."""
    weights = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(weights[0], 0)
    variational = VariationalCircuit("one", circuit, (), tuple(weights), (SparsePauliOp("Z"),))
    layer = quantum_layer(variational, get_backend("statevector"), initial_weights=[0.6])
    optimizer = QuantumNaturalGradient(layer, 0.1, regularization=0.05)
    layer().sum().backward()
    optimizer.step()
    expected = 0.6 + 0.1 * torch.tensor(0.6).sin() / 0.3
    assert layer.weight.item() == pytest.approx(expected.item(), abs=1e-6)


def test_weights_in_no_gate_are_left_alone() -> None:
    layer = hqconv(channels=2, variant="released")
    before = layer.weight.detach().clone()
    optimizer = QuantumNaturalGradient(layer, 0.1)
    inputs = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    loss_of(layer, inputs).backward()
    # What an estimated gradient (SPSA) has for them is noise.
    assert layer.weight.grad is not None
    layer.weight.grad += 1.0
    optimizer.step()
    variational = layer.variational
    acting = torch.tensor([variational.circuit.has_parameter(w) for w in variational.weights])
    assert 0 < acting.sum() < len(acting)
    assert torch.equal(layer.weight[~acting], before[~acting])
    assert (layer.weight[acting] != before[acting]).all()


def test_a_bank_is_as_its_layers_alone() -> None:
    variationals = [build_ansatz("hqconv", channels=1, layers=n) for n in (1, 2)]
    bank = CircuitBank(
        variationals, get_backend("statevector"), generator=torch.Generator().manual_seed(2)
    )
    alone = copy.deepcopy(bank)
    inputs = [batch(3, seed=1), batch(5, seed=2)]
    optimizer = QuantumNaturalGradient(nn.Sequential(bank), 0.1)
    sum(value.square().mean() for value in bank(inputs)).backward()
    optimizer.step()
    for kept, layer, rows in zip(bank.layers, alone.layers, inputs, strict=True):
        single = QuantumNaturalGradient([layer], 0.1)
        layer(rows).square().mean().backward()
        single.step()
        assert torch.allclose(kept.weight, layer.weight, atol=1e-6)


def test_passes_without_gradients_are_not_remembered() -> None:
    layer = hqconv()
    same = copy.deepcopy(layer)
    for each, evaluated in ((layer, True), (same, False)):
        optimizer = QuantumNaturalGradient(each, 0.1)
        loss_of(each, batch(4)).backward()
        if evaluated:
            with torch.no_grad():
                each(batch(4, seed=9))
        optimizer.step()
    assert torch.equal(layer.weight, same.weight)


@pytest.mark.parametrize("block_diagonal", [False, True])
def test_a_resumed_run_is_the_same(block_diagonal: bool) -> None:
    options: dict[str, Any] = {"block_diagonal": block_diagonal, "metric_every": 3}
    layer = hqconv()
    optimizer = QuantumNaturalGradient(layer, 0.1, **options)

    def run(module: QuantumLayer, descent: QuantumNaturalGradient, steps: range) -> None:
        for step in steps:
            descent.zero_grad()
            loss_of(module, batch(4, seed=step)).backward()
            descent.step()

    run(layer, optimizer, range(4))
    resumed = copy.deepcopy(layer)
    other = QuantumNaturalGradient(resumed, 0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(layer, optimizer, range(4, 8))
    run(resumed, other, range(4, 8))
    assert torch.equal(layer.weight, resumed.weight)


def test_metric_every_keeps_the_metric() -> None:
    layer = hqconv()
    optimizer = QuantumNaturalGradient(layer, 0.1, metric_every=2)
    seen = []
    for step in range(4):
        loss_of(layer, batch(4, seed=step)).backward()
        optimizer.step()
        seen.append(optimizer.state[layer.weight]["metric"])
    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert not torch.equal(seen[1], seen[2])


def test_closure_and_missing_gradient() -> None:
    layer, idle = hqconv(0), hqconv(1)
    before = idle.weight.detach().clone()
    optimizer = QuantumNaturalGradient([layer, idle], 0.3)

    def closure() -> float:
        optimizer.zero_grad()
        loss = loss_of(layer, batch(8))
        loss.backward()
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(idle.weight, before)


def test_inputs_must_be_known() -> None:
    layer = hqconv()
    loss_of(layer, batch(2)).backward()
    optimizer = QuantumNaturalGradient(layer)
    with pytest.raises(RequestError, match="before the forward pass"):
        optimizer.step()
    optimizer.close()
    loss_of(layer, batch(2)).backward()
    with pytest.raises(RequestError, match="hqconv"):
        optimizer.step()


@pytest.mark.parametrize(
    ("option", "value"),
    [("lr", -1.0), ("regularization", 0.0), ("metric_samples", 0), ("metric_every", 0)],
)
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"`{option}`"):
        QuantumNaturalGradient(hqconv(), **{option: value})  # type: ignore[arg-type]


def test_a_classical_module_is_refused() -> None:
    with pytest.raises(RequestError, match="another optimizer"):
        QuantumNaturalGradient(nn.Linear(2, 2))


def test_a_circuit_without_weights_is_no_reason_for_it() -> None:
    inputs = ParameterVector("x", 1)
    circuit = QuantumCircuit(1)
    circuit.ry(inputs[0], 0)
    bare = VariationalCircuit("bare", circuit, tuple(inputs), (), (SparsePauliOp("Z"),))
    layer = quantum_layer(bare, get_backend("statevector"))
    with pytest.raises(RequestError, match="with weights, but holds none"):
        QuantumNaturalGradient(layer)
    assert len(QuantumNaturalGradient([layer, hqconv()]).param_groups[0]["params"]) == 1


def test_all_that_a_circuit_was_fed_for_a_step_counts() -> None:
    layer = hqconv().double()
    variational, parts = layer.variational, [batch(3).double(), batch(5, 1).double()]
    optimizer = QuantumNaturalGradient(layer, 0.1, metric_samples=100)
    for _ in range(2):
        before = layer.weight.detach().clone()
        for part in parts:
            loss_of(layer, part).backward()
        optimizer.step()
        expected = fubini_study_metric(variational, torch.cat(parts), before)
        assert torch.allclose(optimizer.state[layer.weight]["metric"], expected, atol=1e-12)
        parts.reverse()
        parts[0] = parts[0][:2]
