"""The way of a model of latents through training, sampling and the command line."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.data.load import load_dataset
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

NAME = "qlatent"
TINY = {
    "model.name": NAME,
    "model.dim": 4,
    "model.ansatz_layers": 2,
    "data.classes": "3,7",
    "training.device": "cpu",
    "training.batch_size": 16,
    "sampling.steps": 3,
    "sampling.num_images": 2,
}


@pytest.fixture(autouse=True, scope="module")
def short_fit() -> Any:
    """A hundred steps show that an autoencoder learns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qhybrid.diffusion.autoencoder.STEPS", 100)
        yield


def trained(folder: Path, max_steps: int, **changed: Any) -> Run:
    settings = {**TINY, "training.max_steps": max_steps, **changed}
    return train(load_config(overrides=settings), out=folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("latents") / "run", 4)


def test_the_autoencoder_is_in_the_run(run: Run) -> None:
    """Its latents have mean 0 and variance 1, and images come back better than their mean does."""
    autoencoder = load_model(run.folder).autoencoder
    images = load_dataset("digits", classes=("3", "7")).tensor()
    with torch.no_grad():
        latents = autoencoder.encode(images)
        error = (autoencoder.decode(latents) - images).square().mean()
    torch.testing.assert_close(latents.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(0), torch.ones(4), atol=0.02, rtol=0)
    assert error < 0.7 * (images - images.mean(0)).square().mean()
    with Image.open(run.reconstruction) as picture:
        assert picture.width > 16 * 64


def test_the_row_has_settings_of_its_own() -> None:
    own = load_config(overrides={"model.name": NAME})
    assert (own.training.batch_size, own.training.max_steps) == (256, 4000)
    assert (own.sampling.sampler, own.sampling.steps, own.model.ansatz) == ("dpm++", 8, "reupload")
    asked = load_config(overrides={"model.name": NAME, "training.batch_size": 32})
    assert (asked.training.batch_size, asked.training.max_steps) == (32, 4000)
    assert load_config().training.batch_size == 32


def test_resumed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    constant = {"training.lr_schedule": "constant"}
    whole = trained(tmp_path / "whole", 4, **constant)
    stopped = trained(tmp_path / "stopped", 2, **constant)
    before = load_file(stopped.model_file)
    settings = {**TINY, **constant, "training.max_steps": 4}
    resumed = train(load_config(overrides=settings), out=stopped.folder, resume=True)
    expected, found = load_file(whole.model_file), load_file(resumed.model_file)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    changed = {key for key in before if not torch.equal(before[key], found[key])}
    assert changed == {key for key in before if key.startswith("vertex.")}


def test_an_interrupted_preparation_starts_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    arguments = ["train", "--out", str(tmp_path / "run")]
    settings = [f"--set={k}={v}" for k, v in {**TINY, "training.max_steps": 4}.items()]
    with monkeypatch.context() as patch:
        patch.setattr("qhybrid.diffusion.autoencoder.Autoencoder.fit", interrupted)
        assert main([*arguments, *settings]) == 130
    assert "resume with: qhybrid train --resume --out" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    expected, found = load_file(run.model_file), load_file(Run(tmp_path / "run").model_file)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_run_can_take_the_autoencoder_of_another(run: Run, tmp_path: Path) -> None:
    other = trained(
        tmp_path / "other", 2, **{"model.name": "latent-mlp", "transfer.init_from": str(run.folder)}
    )
    before, after = load_file(run.model_file), load_file(other.model_file)
    taken = [key for key in before if key.startswith("autoencoder.")]
    assert taken
    assert all(torch.equal(before[key], after[key]) for key in taken)

    with pytest.raises(RequestError, match=r"trained on other images: data\.classes is"):
        trained(
            tmp_path / "wrong", 2, **{"transfer.init_from": str(run.folder), "data.classes": "1,2"}
        )
    assert not (tmp_path / "wrong").exists()


def test_images_are_drawn_and_shown(run: Run) -> None:
    done = sample_run(run, SamplingRequest(num_images=5, device="cpu", batch_size=2))
    with np.load(done.images_file) as arrays:
        assert arrays["images"].shape == (5, 8, 8, 1)
        assert arrays["images"].std() > 20
        assert "labels" not in arrays
    manifest = json.loads(done.manifest_file.read_text())
    assert (manifest["sampler"], manifest["steps"]) == ("dpm++", 3)
    assert done.animation_file.stat().st_size > 0


def test_a_conditional_run_names_its_classes(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", 2, **{"model.variant": "conditional"})
    done = sample_run(run, SamplingRequest(num_images=3, device="cpu"))
    with np.load(done.images_file) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 0]
    assert json.loads(done.manifest_file.read_text())["classes"] == ["3", "7"]


def test_aer_draws_the_same_images(run: Run) -> None:
    drawn = []
    for backend in ("statevector", "aer"):
        done = sample_run(run, SamplingRequest(num_images=2, device="cpu", backend=backend))
        with np.load(done.images_file) as arrays:
            drawn.append(arrays["images"].astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def test_a_device_takes_one_round_a_step(run: Run, tmp_path: Path) -> None:
    plan = plan_sampling(run, SamplingRequest(backend="fake_fez"))
    assert (plan.sampler, plan.steps) == ("dpm++", 3)
    execution = ExecutionRequest(shots=64, twirling=False, resilience_level=0)
    request = SamplingRequest(num_images=2, device="cpu", backend="fake_fez", execution=execution)
    done = sample_run(run, request, out=tmp_path / "drawn")
    manifest = json.loads(done.manifest_file.read_text())
    assert (manifest["rounds"], manifest["jobs"], manifest["steps"]) == (3, 3, 3)
    last = SamplingRequest(
        num_images=2, device="cpu", backend="fake_fez", hardware_steps=1, execution=execution
    )
    done = sample_run(run, last, out=tmp_path / "last")
    assert json.loads(done.manifest_file.read_text())["rounds"] == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"diffusion.schedule": "linear"}, "diffusion.schedule has no effect on qlatent"),
        ({"diffusion.p2_gamma": 1.0}, "diffusion.p2_gamma has no effect on qlatent"),
        ({"sampling.sampler": "ddpm"}, "drawn from by the samplers dpm++, ddim"),
        ({"model.ansatz": "basic_entangling", "model.dim": 17}, "dim of qlatent must be 2 to 16"),
    ],
)
def test_what_has_no_effect_is_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        trained(tmp_path / "run", 2, **changed)
    assert not (tmp_path / "run").exists()


def test_a_missing_autoencoder_is_named(run: Run, tmp_path: Path) -> None:
    from qhybrid.models.model_file import read_spec
    from qhybrid.models.storage import save_model

    state = load_file(run.model_file)
    kept = {key: tensor for key, tensor in state.items() if not key.startswith("autoencoder.")}
    save_model(kept, read_spec(run.folder), tmp_path)
    with pytest.raises(RequestError, match=r"missing: autoencoder\.decoder"):
        load_model(tmp_path)


def test_the_model_of_a_run_on_other_images_is_named(run: Run, tmp_path: Path) -> None:
    """The files of one run were copied over another's, whose autoencoder has the same shapes."""
    copy = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    settings = copy.config_file.read_text()
    copy.config_file.write_text(settings.replace('dataset = "digits"', 'dataset = "mnist"'))
    with pytest.raises(RequestError, match="was trained on digits, not on mnist, which its config"):
        plan_sampling(copy, SamplingRequest())
