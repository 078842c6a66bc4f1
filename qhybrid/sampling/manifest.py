"""The manifest of a sampling run: what was drawn, from what, how, and at what price."""

from datetime import UTC, datetime
from typing import Any

from qhybrid.diffusion.samplers import check_sampler
from qhybrid.environment import git_revision, package_versions
from qhybrid.files import sealed, write_json
from qhybrid.sampling.bill import SamplingBill
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import SamplingPlan
from qhybrid_runtime import Backend
from qhybrid_runtime.backends.qpu import QpuBackend


def write_manifest(
    run: SamplingRun,
    plan: SamplingPlan,
    device: str,
    seconds: float,
    backend: Backend,
    bill: SamplingBill | None,
) -> None:
    """Write the manifest last: a folder that has one is complete."""
    manifest = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(plan.run.folder.resolve()),
        "model": plan.config.model.name,
        "weights": plan.weights_sha256,
        **({} if plan.epoch is None else {"epoch": plan.epoch}),
        "images": plan.num_images,
        **({} if plan.shard == (1, 1) else {"shard": "{}/{}".format(*plan.shard)}),
        **({} if plan.classes is None else {"classes": plan.classes}),
        "seed": plan.seed,
        "sampler": plan.sampler,
        "steps": plan.steps,
        **_variance(plan),
        **_noise(plan),
        "backend": plan.backend,
        "device": device,
        **_execution(plan, backend),
        **_shares(backend, bill),
        "seconds": round(seconds, 3),
        "versions": package_versions(),
        "git_revision": git_revision(),
    }
    write_json(run.manifest_file, sealed(manifest))


def _variance(plan: SamplingPlan) -> dict[str, Any]:
    """Return what the manifest says of the variance of a step."""
    return {"variance": plan.schedule.variance} if check_sampler(plan.sampler).ancestral else {}


def _noise(plan: SamplingPlan) -> dict[str, Any]:
    """Return what the manifest says of the noise."""
    source = plan.noise.source
    measured = {
        "noise_backend": plan.noise.backend,
        "noise_pool": plan.noise.pool,
        "noise_qpu_seconds": round(plan.noise_seconds, 3),
    }
    return {"noise_source": source, **({} if source == "gaussian" else measured)}


def _execution(plan: SamplingPlan, backend: Backend) -> dict[str, Any]:
    """Return what the manifest says of circuits that are not exact."""
    if not isinstance(backend, QpuBackend):
        shots = None if backend.precision == 0 else round(backend.precision**-2)
        return {"shots": shots, "jobs": 0, "qpu_seconds": 0.0}
    return {
        "shots": backend.settings.shots,
        "primitive": backend.settings.primitive,
        "pack": backend.pack,
        "hardware_steps": plan.hardware_steps,
        "mitigation": plan.execution.mitigate,
        "qpu": backend.qpu.name,
        "mode": backend.qpu.mode,
        "rounds": backend.ledger.num_rounds,
        "jobs": backend.ledger.num_jobs,
        "qpu_seconds": round(backend.ledger.spent_seconds, 3),
        "estimated_qpu_seconds": round(backend.ledger.estimated_seconds, 3),
    }


def _shares(backend: Backend, bill: SamplingBill | None) -> dict[str, Any]:
    """Return what the manifest says of QPUs that shared the rounds: their bills, and what was."""
    if not isinstance(backend, QpuBackend) or bill is None or not bill.by_qpu:
        return {}
    spent = backend.ledger.by_qpu
    shares = {}
    for name, part in bill.by_qpu.items():
        jobs, seconds = spent.get(name, (0, 0.0))
        shares[name] = {
            "jobs": jobs,
            "qpu_seconds": round(seconds, 3),
            "estimated_qpu_seconds": round(part.qpu_seconds, 3),
            "success_probability": part.success_probability,
        }
    return {"qpus": shares}
