import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.run_lock import locked
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import QHybridError, RequestError, UnknownNameError, WriteError

FOUR = SamplingRequest(num_images=4, steps=3, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = load_config(
        overrides={
            "model.name": "unet",
            "training.max_steps": 1,
            "training.device": "cpu",
            "training.seed": 3,
            "sampling.steps": 2,
            "sampling.num_images": 1,
        }
    )
    return train(config, out=tmp_path_factory.mktemp("runs") / "unet")


def test_a_sampling_run_leaves_its_plan_and_four_files(run: Run) -> None:
    result = sample_run(run, FOUR)
    assert result.folder.parent == run.samplings
    with np.load(result.images_file) as arrays:
        images = arrays["images"]
    assert images.shape == (4, 8, 8, 1)
    assert images.dtype == np.uint8
    with Image.open(result.grid_file) as grid, Image.open(result.animation_file) as animation:
        assert (grid.format, animation.format) == ("PNG", "GIF")
    manifest = json.loads(result.manifest_file.read_text())
    assert manifest["model"] == "unet"
    assert (manifest["seed"], manifest["sampler"], manifest["steps"]) == (3, "ddim", 3)
    assert (manifest["backend"], manifest["shots"], manifest["jobs"]) == ("statevector", None, 0)
    assert manifest["seconds"] > 0
    assert len(list(result.folder.iterdir())) == 5


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(run: Run) -> None:
    first, again = sample_run(run.folder, FOUR), sample_run(run.folder, FOUR)
    other = sample_run(run, SamplingRequest(num_images=4, steps=3, device="cpu", seed=4))
    assert first.folder != again.folder
    for name in ("images.npz", "grid.png", "denoising.gif"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert first.images_file.read_bytes() != other.images_file.read_bytes()


def test_an_image_does_not_depend_on_how_many_are_drawn(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sample_run(run, SamplingRequest(num_images=2, steps=3, device="cpu"))
    monkeypatch.setattr("qhybrid.sampling.plan.GRID_IMAGES", 3)
    many = sample_run(run, SamplingRequest(num_images=8, steps=3, device="cpu", batch_size=4))
    with np.load(few.images_file) as a, np.load(many.images_file) as b:
        assert b["images"].shape[0] == 8
        assert np.abs(a["images"].astype(int) - b["images"][:2]).max() <= 1


def test_a_sampler_that_was_not_configured_takes_its_own_steps(run: Run) -> None:
    result = sample_run(run, SamplingRequest(num_images=1, sampler="dpm++", device="cpu"))
    assert json.loads(result.manifest_file.read_text())["steps"] == 20


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (SamplingRequest(sampler="dddim"), UnknownNameError, "did you mean ddim"),
        (SamplingRequest(backend="arr"), UnknownNameError, "aer"),
        (SamplingRequest(steps=2000), RequestError, "2000"),
        (SamplingRequest(steps=0), RequestError, "between 1"),
        (SamplingRequest(num_images=0), RequestError, "--num-images"),
        (SamplingRequest(seed=-1), RequestError, "--seed"),
    ],
)
def test_wrong_requests_leave_nothing_behind(
    run: Run, tmp_path: Path, request_: SamplingRequest, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample_run(run, request_, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_not_written_to(run: Run) -> None:
    with pytest.raises(RequestError, match="holds a run already"):
        sample_run(run, FOUR, out=run.folder)
    done = sample_run(run, FOUR)
    with pytest.raises(RequestError, match="not empty"):
        sample_run(run, FOUR, out=done.folder)


def test_a_run_without_a_model_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(run.config_file.read_text())
    with pytest.raises(RequestError, match=r"no model\.safetensors.*--resume"):
        sample_run(tmp_path, FOUR)


def test_a_failure_leaves_no_empty_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise QHybridError("the circuit failed")

    before = set(run.samplings.glob("*"))
    monkeypatch.setattr("qhybrid.sampling.parts.sample", fail)
    with pytest.raises(QHybridError, match="the circuit failed"):
        sample_run(run, FOUR)
    assert set(run.samplings.glob("*")) == before


def test_the_model_of_another_run_is_refused(run: Run, tmp_path: Path) -> None:
    other = Run(shutil.copytree(run.folder, tmp_path / "other"))
    text = other.config_file.read_text()
    other.config_file.write_text(text.replace("dim = 10", "dim = 12"))
    with pytest.raises(
        RequestError, match=r"another model than its config\.toml .* dim is 10, not 12"
    ):
        sample_run(other, FOUR)


@pytest.mark.parametrize(
    "wrong", [{"num_images": 10**20}, {"sampler": ""}, {"backend": ""}], ids=str
)
def test_empty_names_and_huge_numbers_are_refused(run: Run, wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        sample_run(run, SamplingRequest(steps=1, **wrong))


def test_a_model_that_draws_no_numbers_is_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        model = load_model(*args, **options)
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(1e30)
        return model

    monkeypatch.setattr("qhybrid.sampling.denoiser.load_model", broken)
    with pytest.raises(QHybridError, match="not numbers"):
        sample_run(run, FOUR)


def test_two_processes_do_not_share_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    with (
        locked(folder),
        pytest.raises(RequestError, match=r"process (\d+, begun at .*, )?is sampling into"),
    ):
        sample_run(run, FOUR, out=folder)
    assert list(folder.iterdir()) == []
    assert sample_run(run, FOUR, out=folder).manifest_file.is_file()


def test_a_disk_that_refuses_is_told_with_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with pytest.raises(WriteError, match=r"plan\.json': No space left .* nothing was begun"):
            sample_run(run, FOUR, out=tmp_path / "full")
    assert not (tmp_path / "full").exists()
    with monkeypatch.context() as patch:
        patch.setattr("numpy.savez_compressed", lambda path, **_: refuse(path, path))
        with pytest.raises(WriteError, match=r"images\.npz': No space left .* go on with: .*full"):
            sample_run(run, FOUR, out=tmp_path / "full")
    again = sample_run(run, out=tmp_path / "full", resume=True)
    assert again.images_file.read_bytes() == sample_run(run, FOUR).images_file.read_bytes()


def test_damaged_weights_leave_no_folder(run: Run, tmp_path: Path) -> None:
    other = Run(shutil.copytree(run.folder, tmp_path / "other"))
    shutil.rmtree(other.samplings, ignore_errors=True)
    content = bytearray(other.model_file.read_bytes())
    content[-1] ^= 1
    other.model_file.write_bytes(content)
    with pytest.raises(
        RequestError, match=r"model\.safetensors.* SHA-256 .* restore it from a copy"
    ):
        sample_run(other, FOUR)
    assert not other.samplings.exists()
