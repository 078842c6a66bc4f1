"""The bill of a report is the one that `sample` shows."""

from typing import Any

import pytest

from qhybrid.report.build import build_report
from qhybrid.report.request import ReportRequest
from qhybrid.run_folder import Run
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import bill_of

QPU = "fake_nighthawk"


@pytest.mark.parametrize(
    "options",
    [{}, {"shots": 4096, "num_images": 700}, {"sampler": "ddpm", "steps": 3}],
    ids=["as it comes", "large", "sampler"],
)
def test_a_report_bills_what_sample_would_pay(run: Run, options: dict[str, Any]) -> None:
    given = dict(options)
    images = given.pop("num_images", 64)
    report = ReportRequest(str(run.folder), (QPU,), health=False, num_images=images, **given)
    execution = ExecutionRequest(shots=given.pop("shots", None))
    request = SamplingRequest(num_images=images, backend=QPU, execution=execution, **given)
    found, bill = build_report(report).content["model"]["sampling"], bill_of(run, request)
    assert (found["steps"], found["shots"]) == (bill.steps, bill.shots)
    assert found["jobs"] == bill.bill.jobs
    assert found["executions_per_image"] * images == bill.bill.executions
    assert found["qpu_seconds_per_image"] * images == pytest.approx(bill.bill.qpu_seconds)
