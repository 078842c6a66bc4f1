"""How a sampling request is executed: what a backend takes, and how the work is divided."""

import math
import os
import re
from dataclasses import replace

from qhybrid.diffusion.samplers import check_sampler
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.info import BackendInfo
from qhybrid_runtime.hardware.mitigation import mitigation_named

MOST_SHOTS = 10_000_000
"""More than any service executes at once."""


def processes(request: SamplingRequest, info: BackendInfo) -> int:
    """Return how many processes draw side by side."""
    count, cores = request.processes, os.cpu_count() or 1
    if count is None:
        return 1
    if not 1 <= count <= cores:
        raise RequestError(
            f"--processes must be 1 to {cores}, the processors there are, but is {count}"
        )
    if count > 1 and info.runs_jobs:
        raise RequestError(
            f"--processes is for simulators, but the backend '{info.name}' takes all images at "
            "once; leave it out"
        )
    return count


def shard_of(request: SamplingRequest, info: BackendInfo) -> tuple[int, int]:
    """Return K and N of `K/N`."""
    if request.shard is None:
        return 1, 1
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", request.shard.strip())
    number, shards = (int(text) for text in found.groups()) if found else (0, 0)
    if not 1 <= number <= shards:
        raise RequestError(
            f"--shard must be K/N with K from 1 to N, e.g. 1/3, but is '{request.shard}'"
        )
    if info.runs_jobs:
        raise RequestError(
            f"--shard is for simulators, but the backend '{info.name}' takes all images at once; "
            "leave it out"
        )
    return number, shards


def hardware_steps(request: SamplingRequest, sampler: str, steps: int) -> int:
    """Return how many of the last steps run on the backend."""
    chosen = steps if request.hardware_steps is None else request.hardware_steps
    if not 1 <= chosen <= steps:
        raise RequestError(
            f"--hardware-steps must be 1 to the {steps} steps of the sampler, but is {chosen}"
        )
    evaluations = check_sampler(sampler).evaluations
    if chosen % evaluations and chosen != steps:
        raise RequestError(
            f"--hardware-steps must be a multiple of {evaluations} with the sampler {sampler}, "
            f"which evaluates the model {evaluations} times at a time, but is {chosen}"
        )
    return chosen


def with_shots(
    execution: ExecutionRequest, info: BackendInfo, shots: int | None
) -> ExecutionRequest:
    """Return an execution with the shots that a process has unless a request says otherwise."""
    if execution.shots is None and info.runs_jobs and shots is not None:
        return replace(execution, shots=shots)
    return execution


def check_execution(info: BackendInfo, request: SamplingRequest) -> None:
    """Refuse options that are out of range or have no meaning on the backend."""
    execution, limits = request.execution, ("max_qpu_seconds", "max_wait_seconds")
    for name, value, least, most in (
        ("shots", execution.shots, 1, MOST_SHOTS),
        ("resilience-level", execution.resilience_level, 0, 2),
    ):
        if value is not None and not least <= value <= most:
            raise RequestError(f"--{name} must be {least} to {most:,}, but is {value}")
    for name in limits:
        limit = getattr(request, name)
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            flag = name.replace("_", "-")
            raise RequestError(f"--{flag} must be a number from 0, but is {limit}")
    if execution.primitive == "sampler" and execution.resilience_level:
        raise RequestError(
            f"--resilience-level {execution.resilience_level} is the estimator's, but --primitive "
            "is sampler; leave one of them out"
        )
    _check_mitigation(execution)
    others = [n for n in (*limits, "hardware_steps") if getattr(request, n) is not None]
    refused = [name for name in (*execution.given(), *others) if name not in info.takes]
    if refused:
        raise RequestError(
            f"--{refused[0].replace('_', '-')} does not apply to the backend '{info.name}', which "
            f"{info.refusal}; leave it out, or choose another --backend"
        )


def _check_mitigation(execution: ExecutionRequest) -> None:
    """Refuse a mitigation beside options that it stands for, and one that cannot act."""
    if execution.mitigate is None:
        return
    fractional = bool(execution.fractional)
    chosen = mitigation_named(execution.mitigate, fractional=fractional)
    for name in ("resilience_level", "dynamical_decoupling", "twirling"):
        if getattr(execution, name) is not None:
            raise RequestError(
                f"--mitigate {execution.mitigate} says what --{name.replace('_', '-')} would be; "
                "leave one of them out"
            )
    if execution.primitive == "sampler" and chosen.resilience_level:
        raise RequestError(
            f"--mitigate {execution.mitigate} is the estimator's, but --primitive is sampler; "
            "leave one of them out"
        )
