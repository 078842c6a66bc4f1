"""A run with every kind of file that is read again, and what reads each."""

import copy
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from qhybrid.comparison.evaluations import run_figures
from qhybrid.data.states import read_states
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.diffusion.specs import NoiseSpec
from qhybrid.evaluation.inputs import read_file
from qhybrid.files import sealed, write_json
from qhybrid.influence import InfluenceRecord, read_influence
from qhybrid.models.model_file import read_spec
from qhybrid.models.storage import read_weights
from qhybrid.run_folder import Run
from qhybrid.run_metrics import MetricsFile, read_series
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import SamplingRequest
from qhybrid.settings.sources import load_config
from qhybrid.training.checkpoints import load_checkpoint
from qhybrid.training.evaluations import read_best
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid.training.transfer_record import TransferRecord, read_record
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.hardware.ledger import Ledger
from qhybrid_runtime.hardware.records import JobRecord

SETTINGS: dict[str, Any] = {
    "model.name": "unet",
    "model.dim": 2,
    "data.classes": "0,1",
    "training.device": "cpu",
    "training.max_steps": 1,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}
RECORD = TransferRecord("/a", "unet", "ab", ("a.b",), ("c",), (), ("a.b",), 3, 4)
NOISE = NoiseSpec("quantum", "statevector", 16)
_RATIO = {"output": 0.5, "loss": 0.25}
WAYS = ("mean", "shuffled", "random", "zero")
FIGURE = {
    **{"name": "FID", "features": "pixels", "reference": "test"},
    **{"value": 2.5, "low": 2.0, "high": 3.0, "floor": 1.0},
    **{"images": 100, "reference_images": 200, "floor_images": 200},
}


def make_run(folder: Path) -> Run:
    """Return a run in a new folder with every kind of file."""
    run = train(load_config(overrides=SETTINGS), out=folder)
    RECORD.save(run.transfer_file)
    open_noise(NOISE, run.noise_file)
    plan = plan_sampling(run, SamplingRequest(num_images=2, backend="fake_fez"))
    write_json(SamplingRun(run.folder).plan_file, sealed(plan.lasting()))
    record = Ledger(run.folder / "jobs").round("a" * 64)
    record.jobs = [JobRecord([(0, 0, 2, 1)], tag="one", estimated_seconds=3.0)]
    record.save()
    InfluenceRecord(1, 8, "test", {way: dict(_RATIO) for way in WAYS}).save(run)
    shutil.copy(run.model_file, run.best_file)
    best = {"figure": "FID", "value": 2.5, "epoch": 1, "step": 1}
    write_json(run.best_record, sealed(best))
    epoch = {"epoch": 1, "step": 1, "figures": [FIGURE]}
    write_json(run.evaluations / "epoch-001.json", sealed(epoch))
    sampling = SamplingRun(run.samplings / "drawn")
    manifest = {"created": "9", "sampler": "ddim", "steps": 1, "backend": "aer", "seed": 0}
    write_json(sampling.manifest_file, sealed(manifest))
    results = {"dataset": "digits", "figures": [FIGURE]}
    write_json(sampling.folder / "evaluation-1/evaluation.json", sealed(results))
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1), np.uint8)
    np.savez_compressed(run.folder / "images.npz", images=images)
    np.savez(run.folder / "states.npz", states=np.eye(4, dtype=np.complex128))
    return run


@cache
def state() -> TrainingState:
    return build_session(load_config(overrides=SETTINGS)).state


def checkpoint(run: Run) -> Any:
    load_checkpoint(run.checkpoint(1), state())
    return copy.deepcopy(state().state_dict())


#: File -> what reads it; the values of what is damaged are those that were written, or refused.
READERS: dict[str, Callable[[Run], Any]] = {
    "model.json": lambda run: read_spec(run.folder),
    "model.safetensors": lambda run: read_weights(run.model_file),
    "checkpoints/step-0000001.ckpt": checkpoint,
    "transfer.json": lambda run: read_record(run.transfer_file),
    "plan.json": lambda run: SamplingRun(run.folder).plan(),
    "noise.npz": lambda run: open_noise(NOISE, run.noise_file).numbers,  # type: ignore[attr-defined]
    "jobs/round-aaaaaaaaaaaaaaaaaaaaaaaa-0.json": lambda run: (
        Ledger(run.folder / "jobs").round("a" * 64).jobs
    ),
    "config.toml": lambda run: run.config(),
    "metrics.csv": lambda run: MetricsFile(run.metrics_file, after_step=9),
    "influence.json": read_influence,
    "best.json": read_best,
    "evaluations/epoch-001.json": read_series,
    "samplings/drawn/manifest.json": lambda run: _figures(run),
    "samplings/drawn/evaluation-1/evaluation.json": lambda run: _figures(run),
    "images.npz": lambda run: read_file(run.folder / "images.npz"),
    "states.npz": lambda run: read_states(
        run.folder / "states.npz", "states", str(run.folder / "states.npz")
    ),
}


def _figures(run: Run) -> Any:
    found, notes = run_figures(run)
    damaged = [note for note in notes if "trained on since" not in note]
    if damaged:  # which `compare` prints, and goes on
        raise RequestError(damaged[0])
    return found
