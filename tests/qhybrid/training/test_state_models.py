"""The way of a model of states through training, sampling and the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qhybrid.cli.main import main
from qhybrid.data.dataset import ImageDataset
from qhybrid.diffusion.state_process import state_loss
from qhybrid.models.model_file import read_spec
from qhybrid.run_folder import Run
from qhybrid.sampling.plan import plan_sampling
from qhybrid.sampling.request import ExecutionRequest, SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

NAME = "qbottleneck-unet"
TINY = {
    "model.name": NAME,
    "model.dim": 4,
    "model.ansatz_layers": 1,
    "data.classes": "3,7",
    "diffusion.timesteps": 3,
    "training.device": "cpu",
    "training.batch_size": 8,
    "sampling.num_images": 2,
}


def trained(folder: Path, max_steps: int, **changed: Any) -> Run:
    settings = {**TINY, "training.max_steps": max_steps, **changed}
    return train(load_config(overrides=settings), out=folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("states") / "run", 4)


def test_a_run_knows_its_steps_and_classes(run: Run) -> None:
    spec = read_spec(run.folder)
    assert (spec.name, spec.timesteps, spec.classes) == (NAME, 3, ("3", "7"))
    assert load_file(run.model_file)["vertex.table.weight"].shape == (3, 2, 8)
    config = run.config()
    assert (config.sampling.sampler, config.sampling.steps) == ("ddpm", 3)


def test_the_model_is_told_classes_counted_from_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def recorded(model: Any, images: Any, labels: torch.Tensor, *rest: Any) -> torch.Tensor:
        told.extend(labels.tolist())
        return state_loss(model, images, labels, *rest)

    monkeypatch.setattr("qhybrid.diffusion.state_sampling.state_loss", recorded)
    trained(tmp_path / "run", 4)
    # Of the batches, then of the images that the influence is measured on.
    assert len(told) > 32
    assert set(told[:32]) == set(told) == {0, 1}


@pytest.mark.parametrize("optimizer", ["adam", "qng"])
def test_resumed_training_ends_with_the_same_weights(tmp_path: Path, optimizer: str) -> None:
    constant = {"training.lr_schedule": "constant", "training.optimizer": optimizer}
    whole = trained(tmp_path / "whole", 4, **constant)
    stopped = trained(tmp_path / "stopped", 2, **constant)
    before = load_file(stopped.model_file)
    settings = {**TINY, **constant, "training.max_steps": 4}
    resumed = train(load_config(overrides=settings), out=stopped.folder, resume=True)
    expected, found = load_file(whole.model_file), load_file(resumed.model_file)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert not torch.equal(before["vertex.table.weight"], found["vertex.table.weight"])


def test_frozen_training_changes_the_table_alone(run: Run, tmp_path: Path) -> None:
    settings = {"transfer.init_from": str(run.folder), "transfer.freeze": "classical"}
    tuned = trained(tmp_path / "tuned", 2, **settings)
    before, after = load_file(run.model_file), load_file(tuned.model_file)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"vertex.table.weight"}


def test_a_model_can_be_told_no_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[int] = []

    def recorded(model: Any, images: Any, labels: torch.Tensor, *rest: Any) -> torch.Tensor:
        told.extend(labels.tolist())
        return state_loss(model, images, labels, *rest)

    monkeypatch.setattr("qhybrid.diffusion.state_sampling.state_loss", recorded)
    run = trained(tmp_path / "run", 2, **{"model.classes": "none", "model.skip": False})
    assert len(told) > 16
    assert set(told) == {0}
    assert (read_spec(run.folder).classes, run.config().model.classes) == ((), "none")
    tensors = load_file(run.model_file)
    assert tensors["vertex.table.weight"].shape == (3, 1, 8)
    assert tensors["decoder.0.weight"].shape == (128, 4)
    done = sample_run(run, SamplingRequest(num_images=3, device="cpu"))
    with np.load(done.images_file) as arrays:
        assert sorted(arrays) == ["images"]
    assert "classes" not in json.loads(done.manifest_file.read_text())
    assert main(["report", str(run.folder), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["health"]["weights"] == 3 * 8
    train(
        load_config(overrides={"training.max_steps": 3}, source=run.config_file),
        out=run.folder,
        resume=True,
    )


def test_an_old_run_goes_on_as_what_it_was(tmp_path: Path) -> None:
    """When there was one variant, `paper`, it was what `released` is now."""
    run = trained(tmp_path / "run", 2, **{"model.variant": "released"})
    same = trained(tmp_path / "whole", 3, **{"model.variant": "released"})
    text = run.config_file.read_text().replace(
        'variant = "released"\nskip = true', 'variant = "paper"'
    )
    assert 'variant = "paper"' in text
    run.config_file.write_text(text)
    content = json.loads((run.folder / "model.json").read_text())
    del content["spec"]["skip"], content["checksum"]
    content["spec"]["variant"] = "paper"
    (run.folder / "model.json").write_text(json.dumps(content))
    assert run.config().model.variant == load_config(run.config_file).model.variant == "released"
    sample_run(run, SamplingRequest(num_images=1, device="cpu"))
    changed = load_config(run.config_file, {"training.max_steps": 3})
    resumed = train(changed, out=run.folder, resume=True)
    ours, theirs = load_file(resumed.model_file), load_file(same.model_file)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert load_config(overrides={**TINY, "model.variant": "paper"}).model.variant == "paper"


def test_samples_are_of_each_class_in_turn(run: Run) -> None:
    request = SamplingRequest(num_images=5, device="cpu", batch_size=2)
    done = sample_run(run, request)
    with np.load(done.images_file) as arrays:
        assert arrays["images"].shape == (5, 8, 8, 1)
        assert arrays["images"].max(axis=(1, 2, 3)).tolist() == [255] * 5
        assert arrays["labels"].tolist() == [0, 1, 0, 1, 0]
    manifest = json.loads(done.manifest_file.read_text())
    assert manifest["classes"] == ["3", "7"]
    assert (manifest["sampler"], manifest["steps"]) == ("ddpm", 3)
    assert done.animation_file.stat().st_size > 0

    few = sample_run(run, SamplingRequest(num_images=2, device="cpu"))
    with np.load(done.images_file) as many, np.load(few.images_file) as first:
        differences = many["images"][:2].astype(int) - first["images"]
    assert np.abs(differences).max() <= 1


def test_aer_draws_the_same_images(run: Run) -> None:
    drawn = []
    for backend in ("statevector", "aer"):
        done = sample_run(run, SamplingRequest(num_images=2, device="cpu", backend=backend))
        with np.load(done.images_file) as arrays:
            drawn.append(arrays["images"].astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def test_a_device_takes_all_steps_and_shots_that_fit_into_a_job(run: Run) -> None:
    plan = plan_sampling(run, SamplingRequest(backend="fake_fez"))
    assert (plan.sampler, plan.steps, plan.execution.shots) == ("ddpm", 3, 256)
    asked = SamplingRequest(backend="fake_fez", execution=ExecutionRequest(shots=8))
    assert plan_sampling(run, asked).execution.shots == 8
    assert plan_sampling(run, SamplingRequest(backend="aer")).execution.shots is None


def test_a_device_draws_images(run: Run, tmp_path: Path) -> None:
    """Fifteen Pauli strings of two qubits, measured in nine bases."""
    execution = ExecutionRequest(shots=32, twirling=False, resilience_level=0)
    request = SamplingRequest(num_images=2, device="cpu", backend="fake_fez", execution=execution)
    done = sample_run(run, request, out=tmp_path / "drawn")
    manifest = json.loads(done.manifest_file.read_text())
    assert (manifest["rounds"], manifest["jobs"], manifest["steps"]) == (3, 3, 3)
    exact = sample_run(run, SamplingRequest(num_images=2, device="cpu"))
    with np.load(done.images_file) as drawn, np.load(exact.images_file) as expected:
        assert drawn["labels"].tolist() == [0, 1]
        difference = drawn["images"].astype(float) - expected["images"]
    assert 0 < np.abs(difference).mean() < 40


def test_only_the_last_steps_may_run_on_a_device(run: Run, tmp_path: Path) -> None:
    execution = ExecutionRequest(shots=8, twirling=False, resilience_level=0)
    request = SamplingRequest(
        num_images=2, device="cpu", backend="fake_fez", hardware_steps=1, execution=execution
    )
    done = sample_run(run, request, out=tmp_path / "last")
    assert json.loads(done.manifest_file.read_text())["rounds"] == 1


@pytest.mark.parametrize(
    "request_",
    [SamplingRequest(sampler="ddim"), SamplingRequest(steps=2)],
    ids=["sampler", "steps"],
)
def test_other_samplers_are_refused(run: Run, request_: SamplingRequest, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="by the sampler ddpm with all 3 timesteps"):
        sample_run(run, request_, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sampling.sampler": "ddim"}, "ddpm with all 3 timesteps, but was asked for ddim with 3"),
        ({"sampling.steps": 2}, "but was asked for ddpm with 2"),
        ({"diffusion.timesteps": 1001}, "timesteps of qbottleneck-unet must be 2 to 1000"),
        ({"model.dim": 10}, "one of 4, 8, 16, 32"),
        ({"model.skip": "perhaps"}, r"model\.skip must be true or false, but is 'perhaps'"),
        ({"model.classes": "0,1"}, r"can only be none, .* set data\.classes"),
        ({"model.name": "unet", "model.skip": False}, "unet has no such connection"),
        ({"model.name": "unet", "model.classes": "none"}, "but not in unet"),
    ],
)
def test_configurations_that_cannot_be(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load_config(overrides={**TINY, **changed})


def test_the_model_alone_is_enough_of_a_configuration() -> None:
    config = load_config(overrides={"model.name": NAME})
    assert (config.diffusion.timesteps, config.sampling.sampler, config.sampling.steps) == (
        10,
        "ddpm",
        10,
    )
    other = load_config(overrides={"model.name": "unet"})
    assert (other.diffusion.timesteps, other.sampling.sampler) == (1000, "ddim")


def test_the_published_configuration_has_the_published_noise() -> None:
    """Betas from 1e-4 to 0.02 in the code, where an image is shorter beside the noise."""
    config = load_config("qbottleneck")
    signal = np.cumprod(1 - np.linspace(1e-4, 0.02, 10)) * 0.287 / 512
    noise = 1 - np.cumprod(1 - np.linspace(1e-4, 0.02, 10))
    ours = np.cumprod(1 - np.array(config.diffusion.betas))
    np.testing.assert_allclose(ours / (1 - ours), signal / noise, rtol=2e-3)
    assert (config.training.batch_size, config.training.epochs) == (32, 100)


def test_a_black_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.full((4, 8, 8, 1), 9, dtype=torch.uint8)
    pixels[2] = 0
    dataset = ImageDataset(pixels, torch.zeros(4), class_names={0: "a"}, source="here")
    monkeypatch.setattr("qhybrid.data.load.load_dataset", lambda *_, **__: dataset)
    with pytest.raises(RequestError, match="image 2 is black all over"):
        trained(tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()


def test_a_report_says_which_weights_act(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "dim=4", "--set", "ansatz_layers=1", "--set", "timesteps=3"]
    assert main(["report", NAME, *settings, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["model"]["health"]["weights"] == 3 * 10 * 16 // 2
    assert content["model"]["health"]["dead_weights"] == 0
    assert (content["model"]["sampling"]["sampler"], content["model"]["sampling"]["steps"]) == (
        "ddpm",
        3,
    )
    assert main(["report", NAME, *settings, "--sampler", "ddim"]) == 2
    assert "by the sampler ddpm" in capsys.readouterr().err
