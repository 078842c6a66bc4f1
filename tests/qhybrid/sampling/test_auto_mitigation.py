"""Mitigation that is chosen for a sampling run."""

from dataclasses import replace
from pathlib import Path

import pytest
from device_requests import FEW
from rich.console import Console

from qhybrid.run_folder import Run
from qhybrid.sampling import session
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import ExecutionRequest
from qhybrid.sampling.sample_run import bill_of, sample_run
from qhybrid_circuits.errors import QpuLimitError
from qhybrid_runtime.hardware import mitigation


def test_auto_takes_the_most_accurate_mitigation_that_pays_and_is_within_the_limit(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(limit: float | None, *, fractional: bool = False) -> str | None:
        execution = ExecutionRequest(shots=64, mitigate="auto", fractional=fractional)
        request = replace(FEW, execution=execution, max_qpu_seconds=limit)
        plan = session.settled(plan_sampling(run, request), Console(quiet=True))
        return plan.execution.mitigate

    bills = {
        name: bill_of(run, replace(FEW, execution=ExecutionRequest(shots=64, mitigate=name)))
        for name in ("none", "readout", "zne")
    }
    none, readout, zne = (each.bill.qpu_seconds for each in bills.values())
    assert none < readout < zne
    success = bills["zne"].bill.success_probability
    assert success is not None
    monkeypatch.setattr(mitigation, "WORTH_EXTRAPOLATING", success)
    assert chosen(None) == chosen(zne + 0.01) == "zne"
    assert chosen(zne - 0.01) == "readout"
    assert chosen(zne + 0.01, fractional=True) == "readout"
    assert chosen(readout - 0.01) == "none"
    monkeypatch.setattr(mitigation, "WORTH_EXTRAPOLATING", success - 0.01)
    assert chosen(None) == "readout"


@pytest.mark.thorough
def test_a_run_of_auto_is_resumed_with_what_was_chosen(run: Run, tmp_path: Path) -> None:
    auto = replace(FEW, execution=ExecutionRequest(shots=64, mitigate="auto"))
    with pytest.raises(QpuLimitError):
        sample_run(run, replace(auto, max_qpu_seconds=0.0), out=tmp_path / "run")
    drawn = sample_run(run, replace(auto, max_qpu_seconds=99.0), out=tmp_path / "run", resume=True)
    assert drawn.plan().execution.mitigate == "none"
