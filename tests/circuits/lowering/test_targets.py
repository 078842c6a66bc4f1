"""A QPU is a Target, or a backend that has one."""

from collections.abc import Callable
from typing import Any

import pytest
from qiskit.circuit import QuantumCircuit
from qiskit_ibm_runtime.fake_provider import FakeFez

from qhybrid_circuits import RequestError, resource_report
from qhybrid_circuits.lowering import (
    disjoint_regions,
    lower,
    lower_copies,
    pass_manager,
    restricted_target,
    success_probability,
    with_fractional_gates,
)

BELL = QuantumCircuit(2)
BELL.h(0)
BELL.cx(0, 1)
LOWERED = lower(BELL, FakeFez().target, cache=False)

FUNCTIONS: dict[str, Callable[[Any], object]] = {
    "lower": lambda device: lower(BELL, device, cache=False).qubits,
    "pass_manager": lambda device: pass_manager(device, cache=False).run(BELL),
    "resource_report": lambda device: resource_report(BELL, device, cache=False).layout,
    "disjoint_regions": lambda device: disjoint_regions(device, LOWERED, 2),
    "lower_copies": lambda device: lower_copies(LOWERED, device, [LOWERED.qubits])[0].circuit,
    "restricted_target": lambda device: restricted_target(device, [3, 4]).operation_names,
    "with_fractional_gates": lambda device: with_fractional_gates(device).operation_names,
    "success_probability": lambda device: success_probability(LOWERED.circuit, device, [0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_backend_stands_for_its_target(name: str) -> None:
    backend = FakeFez()
    assert FUNCTIONS[name](backend) == FUNCTIONS[name](backend.target)
    for wrong in ("fake_fez", None):
        if wrong is None and name == "resource_report":
            continue  # the circuit as it is written
        with pytest.raises(RequestError, match=r"`target` must be a Qiskit Target, or a backend"):
            FUNCTIONS[name](wrong)


def test_a_report_names_the_backend() -> None:
    assert resource_report(BELL, FakeFez(), cache=False).target == "fake_fez"
