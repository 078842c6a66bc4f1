"""Every contender on every circuit: small ones here, the papers' with `--benchmark-only`.

`pytest tests/performance --benchmark-only` needs the extra `bench`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.performance.agreement import agreement
from tests.performance.cases import case, circuits
from tests.performance.contenders import ENGINE, PEERS, Contender, disagreement
from tests.performance.figures import PAPER, SAME, SMALL
from tests.performance.stock import connected, extrapolate, whole_sample

CONTENDERS = (ENGINE, *PEERS)
NAMES = ("HQConv", "FQConv", "random circuit")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("contender", CONTENDERS, ids=[c.name for c in CONTENDERS])
def test_value_and_vector_jacobian_product(
    contender: Contender, name: str, full_size: bool, timed: Callable[[Callable[[], Any]], Any]
) -> None:
    if contender.missing:
        pytest.skip(f"{contender.name}: {', '.join(contender.missing)} not installed")
    if contender.environment is not None and name == "random circuit":
        pytest.skip(f"{contender.name} does not have all of the gates")
    sizes = PAPER if full_size else SMALL
    batch = sizes.peer_batches.get(contender.name, sizes.batch)
    whole = case(circuits(not full_size)[name], batch)
    run = contender.prepare(whole)
    values, by_inputs, by_weights = timed(run)
    assert tuple(values.shape) == whole.cotangent.shape
    assert tuple(by_inputs.shape) == whole.inputs.shape
    assert tuple(by_weights.shape) == whole.weights.shape
    assert disagreement(run, ENGINE.prepare(whole)) < SAME


@pytest.mark.parametrize("name", NAMES)
def test_the_circuits_are_those_of_the_engine(name: str) -> None:
    """The peers' list of gates, put together with Qiskit's matrices, gives the engine's numbers."""
    found = agreement(case(circuits(small=True)[name], 1), torch.float64)
    assert found.values < 1e-12
    assert found.gradients < 1e-10


def test_shifted_circuits_are_extrapolated_to_all_of_a_sample() -> None:
    small = case(circuits(small=True)["HQConv"], 2)
    part = extrapolate(small, repeats=3)
    taken, circuits_of_sample = whole_sample(small)
    assert part.circuits == circuits_of_sample
    assert 0 < part.measured < part.circuits
    assert part.forward_s > 0
    # 160 circuits of 4 qubits; an extrapolation that multiplies twice would give minutes.
    assert taken / 30 < part.backward_s < 30 * taken


def test_stock_classes_with_our_gradient_are_timed() -> None:
    times = connected(case(circuits(small=True)["HQConv"], 2), repeats=1)
    assert np.isfinite([times.forward_s, times.backward_s]).all()
    assert min(times.forward_s, times.backward_s) > 0
