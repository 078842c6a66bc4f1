"""Quantum noise from a device is measured beforehand, and is part of the bill."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_requests import FEW

from qhybrid.run_folder import Run
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import bill_of, sample_run
from qhybrid.settings.sources import load_config
from qhybrid_circuits.errors import QpuLimitError
from qhybrid_runtime.randomness.cost import LEAST_QUBITS, measured_seconds

PLAIN = replace(FEW, steps=1)
POOLED = replace(PLAIN, noise_source="quantum", noise_pool=20_000)


def test_the_bill_has_the_job_that_measures_noise(run: Run) -> None:
    plain, pooled = bill_of(run, PLAIN), bill_of(run, POOLED)
    # As on the smallest device.
    seconds = measured_seconds(20_000, LEAST_QUBITS)
    assert pooled.bill.jobs == plain.bill.jobs + 1
    for name in ("bill", "unpacked", "stock"):
        with_noise, without = getattr(pooled, name), getattr(plain, name)
        assert with_noise.qpu_seconds == pytest.approx(without.qpu_seconds + seconds)
        assert with_noise.executions - without.executions == -(
            -24 * 20_000 // (0.75 * LEAST_QUBITS)
        )
    assert bill_of(run, replace(PLAIN, noise_source="quantum")).bill == plain.bill


def test_the_limit_holds_for_the_noise_too(run: Run, tmp_path: Path) -> None:
    with pytest.raises(QpuLimitError, match="limit of 2 QPU seconds: the noise alone is estimated"):
        sample_run(run, replace(POOLED, max_qpu_seconds=2), out=tmp_path / "little")
    assert not (tmp_path / "little").exists()
    # Enough for the noise and the first of four rounds.
    tight = replace(POOLED, max_qpu_seconds=measured_seconds(20_000, LEAST_QUBITS) + 2.2)
    with pytest.raises(QpuLimitError, match="go on with --resume"):
        sample_run(run, tight, out=tmp_path / "tight")
    assert (tmp_path / "tight" / "noise.npz").is_file()


@pytest.mark.thorough
def test_a_resumed_run_keeps_its_noise(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample_run(run, POOLED, out=tmp_path / "whole")
    told = json.loads(whole.manifest_file.read_text())
    assert (told["noise_source"], told["noise_pool"]) == ("quantum", 20_000)
    assert told["noise_qpu_seconds"] == pytest.approx(
        measured_seconds(20_000, LEAST_QUBITS), abs=1e-3
    )

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qhybrid.sampling.results.save_grid", stopped)
        with pytest.raises(Exception, match="go on with"):
            sample_run(run, POOLED, out=tmp_path / "run")
    monkeypatch.setattr("qhybrid.diffusion.noise_pool.bit_source", None)
    resumed = sample_run(run, replace(PLAIN, backend=None), out=tmp_path / "run", resume=True)
    with np.load(whole.noise_file) as first, np.load(resumed.noise_file) as second:
        assert np.array_equal(first["numbers"], second["numbers"])
    assert json.loads(resumed.manifest_file.read_text())["noise_pool"] == 20_000


def test_a_pool_that_was_paid_for_serves_any_device_of_the_account(run: Run) -> None:
    """The least busy device has a name of its own by the time that a run is resumed."""
    config = load_config(
        run.config_file,
        overrides={
            "training.noise_source": "quantum",
            "training.noise_pool": 10,
            "quantum.backend": "ibm",
        },
    )

    class Paid(Run):
        def config(self):  # type: ignore[no-untyped-def]
            return config

    paid = Paid(run.folder)
    request = SamplingRequest(backend="ibm_fez")
    paid.noise_file.touch()
    plan = plan_sampling(paid, request)
    paid.noise_file.unlink()
    assert (plan.shares_pool, plan.noise.pool, plan.noise_seconds) == (True, 10, 0.0)
    assert plan.lasting()["noise_pool"] is None
