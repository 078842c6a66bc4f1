import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import Tensor

from qhybrid.run_folder import Run
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.outcome import Interrupted
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough

SMALL: dict[str, Any] = {
    "model.name": "unet",
    "data.classes": "0,1",
    "diffusion.schedule": "sigmoid",
    "training.noise_source": "quantum",
    "training.batch_size": 32,
    "training.max_steps": 4,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 4,
}


def small(**overrides: Any) -> Config:
    return load_config(overrides={**SMALL, **overrides})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small(), out=tmp_path_factory.mktemp("runs") / "quantum")


def drawn(run: Run, **request: Any) -> SamplingRun:
    usual = {"num_images": 3, "sampler": "ddpm", "steps": 3, "device": "cpu"}
    return sample_run(run, SamplingRequest(**{**usual, **request}))


def images(sampling: SamplingRun) -> np.ndarray:
    with np.load(sampling.images_file) as arrays:
        return np.asarray(arrays["images"])


def manifest(sampling: SamplingRun) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(sampling.manifest_file.read_text())
    return content


def test_the_run_says_where_its_noise_came_from(run: Run) -> None:
    environment = json.loads(run.environment_file.read_text())
    assert (environment["noise_source"], environment["noise_pool"]) == ("quantum", None)
    assert run.config().training.noise_source == "quantum"
    assert run.sample_grid(1).exists()
    assert not run.noise_file.exists()


@pytest.mark.parametrize(
    ("backend", "pool"), [("aer:readout=0.1", None), *thorough([("aer", 3000)])]
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    backend: str, pool: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(**{"quantum.backend": backend, "training.noise_pool": pool})
    whole = train(config, out=tmp_path / "whole")
    original, unsent = TrainingState.add_loss, [signal.SIGINT]

    def add_loss(self: TrainingState, loss: Tensor) -> None:
        if self.step == 1 and unsent:
            os.kill(os.getpid(), unsent.pop())
        original(self, loss)

    monkeypatch.setattr(TrainingState, "add_loss", add_loss)
    with pytest.raises(Interrupted):
        train(config, out=tmp_path / "run")
    resumed = train(out=tmp_path / "run", resume=True)
    saved, expected = load_file(resumed.model_file), load_file(whole.model_file)
    assert not [name for name in expected if not np.array_equal(saved[name], expected[name])]
    assert whole.noise_file.exists() == (pool is not None)


def test_the_source_and_the_backend_make_a_difference(run: Run, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{"training.noise_source": "gaussian"}]
    changes.append({"quantum.backend": "aer"})
    weights = [load_file(run.model_file)]
    for number, change in enumerate(changes):
        weights.append(load_file(train(small(**change), out=tmp_path / str(number)).model_file))
    first = next(iter(weights[0]))
    assert len({each[first].numpy().tobytes() for each in weights}) == 3


def test_samples_take_the_runs_source_unless_told_otherwise(run: Run) -> None:
    quantum, again = drawn(run), drawn(run, batch_size=1)
    told = manifest(quantum)
    assert (told["noise_source"], told["noise_backend"]) == ("quantum", "statevector")
    assert (told["noise_pool"], told["noise_qpu_seconds"]) == (None, 0.0)
    assert np.abs(images(quantum).astype(int) - images(again)).max() <= 1
    gaussian = drawn(run, noise_source="gaussian")
    assert manifest(gaussian)["noise_source"] == "gaussian"
    assert "noise_backend" not in manifest(gaussian)
    assert not np.array_equal(images(quantum), images(gaussian))


def test_a_pool_for_samples_lies_in_their_folder(run: Run) -> None:
    pooled = drawn(run, noise_pool=500, backend="aer:readout=0.1")
    assert manifest(pooled)["noise_pool"] == 500
    with np.load(pooled.noise_file) as arrays:
        assert arrays["numbers"].shape == (500,)


def test_a_runs_pool_serves_its_samples(tmp_path: Path) -> None:
    run = train(small(**{"training.noise_pool": 800}), out=tmp_path / "pooled")
    with np.load(run.noise_file) as arrays:
        assert arrays["numbers"].shape == (800,)
    shared = drawn(run)
    assert manifest(shared)["noise_pool"] == 800
    assert not shared.noise_file.exists()
    # Elsewhere the noise is measured there.
    assert manifest(drawn(run, backend="aer"))["noise_pool"] is None


def test_what_cannot_be_had_is_refused(run: Run) -> None:
    for request, message in (
        ({"noise_source": "quantun"}, "did you mean quantum"),
        ({"noise_source": "gaussian", "noise_pool": 5}, "noise_pool is of the noise source"),
        ({"noise_pool": 0}, "noise_pool must be 1 to 100,000,000"),
        ({"backend": "ibm_fez"}, "--noise-pool N"),
    ):
        with pytest.raises(RequestError, match=message):
            sample_run(run, SamplingRequest(**request))  # type: ignore[arg-type]
    changed = small(**{"training.noise_source": "gaussian"})
    with pytest.raises(RequestError, match=r"training.noise_source is quantum in the run"):
        train(changed, out=run.folder, resume=True)


def test_long_lists_of_betas_are_told_in_short(tmp_path: Path) -> None:
    first, second = ([beta] * 20 for beta in (0.1, 0.2))
    fixed = {"diffusion.schedule": "trained_betas", "training.max_steps": 1}
    run = train(small(**fixed, **{"diffusion.betas": first}), out=tmp_path / "run")
    assert run.config().diffusion.betas == tuple(first)
    changed = small(**fixed, **{"diffusion.betas": second})
    with pytest.raises(RequestError, match=r"betas is a list of 20 from 0.1 to 0.1 in the run"):
        train(changed, out=run.folder, resume=True)
