"""Circuits of several structures, evaluated at the same time."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_circuits import exact_values, random_variational
from torch import Tensor
from torch.func import jacrev

from qhybrid_circuits.ansatz import fqconv, hqconv
from qhybrid_runtime import get_backend
from qhybrid_runtime.bank import CircuitBank
from qhybrid_runtime.engine import Batch, compile_program, expectations, round_expectations
from qhybrid_runtime.engine.cpu import executor
from qhybrid_runtime.engine.cpu.tasks import Tasks, split_tasks
from tests.threads import torch_threads


def batches(rng: np.random.Generator, *samples: int) -> list[Batch]:
    """One random circuit a batch, each of another size, with leaves of its own."""
    found = []
    for number, count in enumerate(samples):
        variational = random_variational(rng, 2 + number, 12)
        inputs = torch.tensor(rng.normal(size=(count, 3)), requires_grad=True)
        weights = torch.tensor(rng.normal(size=4), requires_grad=True)
        program = compile_program(variational)
        found.append(Batch(program, variational.observables, inputs, weights))
    return found


def leaves(of: list[Batch]) -> list[Tensor]:
    return [leaf for batch in of for leaf in (batch.inputs, batch.weights)]


def total(values: list[Tensor]) -> Tensor:
    return sum((each.sin().sum() for each in values), torch.zeros(()))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_round_has_the_values_and_gradients_of_its_batches(count: int, rng) -> None:
    round_ = batches(rng, 40, 1, 0, 17)
    alone = [expectations(*batch) for batch in round_]
    with torch_threads(count):
        together = round_expectations(round_)
        found = torch.autograd.grad(total(together), leaves(round_))
    for ours, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, expected, atol=0, rtol=0)
    expected_gradients = torch.autograd.grad(total(alone), leaves(round_))
    for ours, expected in zip(found, expected_gradients, strict=True):
        torch.testing.assert_close(ours, expected, atol=0, rtol=0)


def test_a_round_has_qiskits_values(rng) -> None:
    variationals = [random_variational(rng, qubits, 12) for qubits in (2, 3, 4)]
    inputs, weights = rng.normal(size=(3, 5, 3)), rng.normal(size=(3, 4))
    values = round_expectations(
        [
            Batch(compile_program(each), each.observables, torch.tensor(x), torch.tensor(w))
            for each, x, w in zip(variationals, inputs, weights, strict=True)
        ]
    )
    for each, x, w, found in zip(variationals, inputs, weights, values, strict=True):
        np.testing.assert_allclose(found, exact_values(each, x, w), atol=1e-12)


def test_gradients_are_those_of_the_values_that_are_used(
    monkeypatch: pytest.MonkeyPatch, rng
) -> None:
    round_ = batches(rng, 5, 6, 7)
    round_[1] = round_[1]._replace(
        inputs=round_[1].inputs.detach(), weights=round_[1].weights.detach()
    )
    first, second, third = round_expectations(round_)
    assert [each.requires_grad for each in (first, second, third)] == [True, False, True]
    swept, sweep = [], executor.run_gradients
    monkeypatch.setattr(executor, "run_gradients", lambda *of: swept.append(of[0]) or sweep(*of))
    by_inputs, by_others = torch.autograd.grad(
        third.square().sum(), [round_[2].inputs, round_[0].inputs], allow_unused=True
    )
    assert by_others is None or not by_others.any()
    assert len(swept) == 1
    alone = expectations(*round_[2]).square().sum()
    torch.testing.assert_close(by_inputs, torch.autograd.grad(alone, round_[2].inputs)[0])
    torch.testing.assert_close(second, expectations(*round_[1]))


def test_rounds_have_second_derivatives(rng) -> None:
    round_ = batches(rng, 2, 3)
    at = leaves(round_)

    def values(*at: Tensor) -> tuple[Tensor, ...]:
        moved = [
            batch._replace(inputs=at[2 * n], weights=at[2 * n + 1])
            for n, batch in enumerate(round_)
        ]
        return tuple(round_expectations(moved))

    assert torch.autograd.gradgradcheck(values, at, atol=1e-4)
    inputs, weights, *others = (each.detach() for each in at)
    alone = round_[0]._replace(inputs=inputs)
    hessian = jacrev(jacrev(lambda w: total([*values(inputs, w, *others)])))(weights)
    expected = jacrev(jacrev(lambda w: total([expectations(*alone._replace(weights=w))])))(weights)
    torch.testing.assert_close(hessian, expected)


def test_batches_without_gradients_keep_nothing(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    kept = []
    monkeypatch.setattr(executor, "run_values", lambda call, states, *rest: kept.append(states))
    with torch.no_grad():
        round_expectations(batches(rng, 4, 20))
    assert kept
    assert not any(map(len, kept))


def test_circuits_of_one_sample_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a thread of its own, on the way back too: both wait until the other one runs."""
    met = threading.Barrier(2, timeout=60)

    def watched(run: Callable[..., None]) -> Callable[..., None]:
        def waiting(*arguments: object) -> None:
            met.wait()
            run(*arguments)

        return waiting

    for name in ("run_values", "run_gradients"):
        monkeypatch.setattr(executor, name, watched(getattr(executor, name)))
    bank = CircuitBank([hqconv(channels=2), fqconv(channels=2)], get_backend("statevector"))
    with torch_threads(2):
        values = bank([torch.rand(1, 8), torch.rand(1, 8)])
        torch.cat(values, 1).sum().backward()
    assert all(layer.weight.grad is not None for layer in bank.layers)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10**12)), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_each_task_is_done_once_and_no_thread_has_much_more_than_its_share(
    several: list[tuple[int, int]], count: int
) -> None:
    done: list[tuple[int, int]] = []
    tasks = [
        Tasks(number, work, lambda first, last, kind=kind: done.append((kind, last - first)))
        for kind, (number, work) in enumerate(several)
    ]
    parts = split_tasks(tasks, count)
    assert len(parts) == count
    works = [work for number, work in several if number]
    most = sum(number * work for number, work in several) / count + max(works, default=0)
    for part in parts:
        begun = len(done)
        for call in part:
            call()
        assert sum(several[kind][1] * number for kind, number in done[begun:]) <= most * (1 + 1e-12)
    for kind, (number, _) in enumerate(several):
        assert sum(length for which, length in done if which == kind) == number
