"""Sampling runs: images drawn from a training run, in a folder that says how."""

from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.outcome import BillDeclined, SamplingInterrupted
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import bill_of, sample_run

__all__ = [
    "BillDeclined",
    "ExecutionRequest",
    "SamplingInterrupted",
    "SamplingRequest",
    "SamplingRun",
    "bill_of",
    "sample_run",
]
