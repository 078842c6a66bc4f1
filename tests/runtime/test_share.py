"""What parts of a batch are drawn and measured is what the whole batch has."""

from typing import Any

import pytest
import torch
from torch import Tensor

from qhybrid_circuits import RequestError, build_ansatz
from qhybrid_runtime import CircuitBank, QuantumLayer, Spsa, continue_at, get_backend, quantum_layer
from qhybrid_runtime.natural_gradient import QuantumNaturalGradient
from qhybrid_runtime.share import Share, sharing

COUNTS = (2, 3)
"""Samples of two processes; a circuit has three rows of each sample."""
PLACES = 3


def never(rows: Tensor, counts: list[int]) -> Tensor:
    raise AssertionError("no rows of other processes are needed")


def parts(batch: Tensor) -> list[tuple[Share, Tensor]]:
    rows = batch.split([PLACES * count for count in COUNTS])
    return [(Share(number, COUNTS, never), part) for number, part in enumerate(rows)]


def batch_of(generator: torch.Generator) -> Tensor:
    return torch.rand(PLACES * sum(COUNTS), 4, generator=generator)


def test_errors_of_a_sample_are_those_that_the_whole_batch_draws(
    generator: torch.Generator,
) -> None:
    circuits = [build_ansatz("hqconv", channels=1, layers=2)] * 2
    bank = CircuitBank(circuits, get_backend("noise-aware:fake_manila", seed=1))
    batch = batch_of(generator)

    def values(rows: Tensor) -> Tensor:
        continue_at(bank, 5)
        bank([rows, -rows])  # the errors of the second call are others
        return torch.cat(bank([rows, -rows]), dim=1)

    whole, found = values(batch), []
    for share, rows in parts(batch):
        with sharing(share):
            found.append(values(rows))
    torch.testing.assert_close(torch.cat(found), whole)
    assert not torch.allclose(values(batch[6:]), whole[6:], atol=1e-3)


def test_directions_of_a_sample_are_those_that_the_whole_batch_draws(
    generator: torch.Generator,
) -> None:
    circuit = build_ansatz("hqconv", channels=1, layers=1)
    layer = quantum_layer(
        circuit, get_backend("statevector"), Spsa(samples=2), generator=generator
    ).double()
    batch = batch_of(generator).double()

    def gradients(rows: Tensor, share: Share | None) -> tuple[Tensor, Tensor]:
        continue_at(layer, 5)
        rows = rows.clone().requires_grad_()
        if share is None:
            values = layer(rows)
        else:
            with sharing(share):
                values = layer(rows)
        # The block is left before the gradients are computed.
        return torch.autograd.grad(values.square().sum(), (rows, layer.weight))

    by_inputs, by_weights = gradients(batch, None)
    found = [gradients(rows, share) for share, rows in parts(batch)]
    torch.testing.assert_close(torch.cat([each for each, _ in found]), by_inputs)
    torch.testing.assert_close(found[0][1] + found[1][1], by_weights)
    assert not torch.allclose(gradients(batch[6:], None)[0], by_inputs[6:])


def natural_step(layer: QuantumLayer, passes: list[tuple[Share | None, Tensor]]) -> Tensor:
    """The weights after a step along a gradient of ones."""
    layer.weight.data.fill_(0.3)
    optimizer = QuantumNaturalGradient(layer, 0.1, metric_samples=4)
    for share, rows in passes:
        if share is None:
            layer(rows)
        else:
            with sharing(share):
                layer(rows)
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    optimizer.close()
    return layer.weight.detach().clone()


@pytest.mark.parametrize("number", [0, 1])
def test_a_metric_is_that_of_the_inputs_of_all_processes(
    number: int, generator: torch.Generator
) -> None:
    layer = quantum_layer(build_ansatz("hqconv", channels=1, layers=2), "statevector")
    batches, asked = [batch_of(generator), batch_of(generator)], []

    def gather(rows: Tensor, counts: list[int]) -> Tensor:
        assert counts == [6, 9]
        (batch,) = (each for each in batches if torch.equal(each.split(counts)[number], rows))
        asked.append(batch)
        return batch

    share: Any = Share(number, COUNTS, gather)
    own = [(share, parts(batch)[number][1]) for batch in batches]
    found = natural_step(layer, own)
    assert len(asked) == 2
    assert torch.equal(found, natural_step(layer, [(None, batch) for batch in batches]))
    own = [(None, rows) for _, rows in own]
    assert not torch.allclose(found, natural_step(layer, own), atol=1e-4)


def test_rows_that_are_not_of_the_samples_are_refused() -> None:
    backend = get_backend("noise-aware:fake_manila", seed=1)
    layer = quantum_layer(build_ansatz("hqconv", channels=1, layers=1), backend)
    with (
        sharing(Share(0, COUNTS, never)),
        pytest.raises(RequestError, match="5 rows for 2 samples"),
    ):
        layer(torch.zeros(5, 4))
