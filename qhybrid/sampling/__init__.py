"""Sampling runs: images drawn from a training run, in a folder that says how."""

from qhybrid.sampling.sample_run import SamplingRequest, SamplingRun, sample_run

__all__ = ["SamplingRequest", "SamplingRun", "sample_run"]
