"""Runs whose models predict variances: trained, resumed, drawn from, and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qhybrid.models.model_file import read_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.models.storage import load_model
from qhybrid.models.variance_head import add_variances
from qhybrid.models.zoo import build_model
from qhybrid.run_folder import Run
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

_SETTINGS = {
    "model.name": "unet",
    "model.dim": 2,
    "data.limit": 32,
    "diffusion.variance": "learned",
    "training.batch_size": 8,
    "training.max_steps": 4,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 1,
}
_TWO = SamplingRequest(num_images=2, sampler="ddpm", steps=4, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(load_config(overrides=_SETTINGS), out=tmp_path_factory.mktemp("runs") / "learned")


@pytest.mark.parametrize("name", ["unet", "hqconv-wide-unet", "qattention-unet"])
def test_the_noise_is_predicted_as_without_variances(name: str) -> None:
    fixed, learned = (
        build_model(
            ModelSpec(name, 8, 3, dim=8, ansatz_layers=1, variance=variance),
            generator=torch.Generator().manual_seed(1),
        )
        for variance in (None, "learned")
    )
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 900])
    with torch.no_grad():
        noise, both = fixed(x, t), learned(x, t)
    assert both.shape == (2, 6, 8, 8)
    torch.testing.assert_close(both[:, :3], noise)
    assert not both[:, 3:].any()
    both = learned(x, t)
    both[:, 3:].sum().backward()
    assert learned.output.weight.grad[3:].any()
    more = sum(p.numel() for p in learned.parameters()) - sum(p.numel() for p in fixed.parameters())
    assert more == sum(p.numel() for p in fixed.output.parameters())


def test_a_run_knows_its_variance_and_trains_it(run: Run) -> None:
    spec = read_spec(run.folder)
    assert spec.variance == run.config().diffusion.variance == "learned"
    weight = load_model(run.folder).output.weight
    assert weight.shape[0] == 2
    assert weight[1].abs().max() > 0


def test_a_resumed_run_is_the_same_bit_for_bit(run: Run, tmp_path: Path) -> None:
    stopped = {**_SETTINGS, "training.max_steps": 2}
    train(load_config(overrides=stopped), out=tmp_path / "run")
    resumed = train(load_config(overrides=_SETTINGS), out=tmp_path / "run", resume=True)
    assert resumed.model_file.read_bytes() == run.model_file.read_bytes()


def test_ddpm_takes_the_runs_variance_or_another(run: Run) -> None:
    images, variances = {}, {}
    for asked in (None, "posterior", "beta", "learned"):
        drawn = sample_run(run, SamplingRequest(**{**vars(_TWO), "variance": asked}))
        with np.load(drawn.images_file) as arrays:
            images[asked] = arrays["images"]
        variances[asked] = json.loads(drawn.manifest_file.read_text())["variance"]
        kept = drawn.kept_plan()
        assert kept.get("variance") == (asked if asked in ("posterior", "beta") else None)
    assert variances == {
        None: "learned",
        "posterior": "posterior",
        "beta": "beta",
        "learned": "learned",
    }
    np.testing.assert_array_equal(images[None], images["learned"])
    for other in ("posterior", "beta"):
        assert (images[other] != images[None]).any()
    drawn = sample_run(run, SamplingRequest(num_images=2, sampler="ddim", steps=2, device="cpu"))
    assert "variance" not in json.loads(drawn.manifest_file.read_text())


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"variance": "betta"}, "unknown variance 'betta'; did you mean beta"),
        ({"variance": "beta", "sampler": "ddim"}, "has no effect on 'ddim'"),
    ],
)
def test_wrong_requests_are_refused(run: Run, request_: dict, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        sample_run(run, SamplingRequest(**{**vars(_TWO), **request_}))


def test_a_model_without_variances_cannot_be_asked_for_them(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    fixed = load_config(overrides={**_SETTINGS, "diffusion.variance": "posterior"})
    other = train(fixed, out=tmp_path / "fixed")
    with pytest.raises(RequestError, match="were trained to predict variances"):
        sample_run(other, SamplingRequest(**{**vars(_TWO), "variance": "learned"}))
    # model.json of another run: its outputs would be read as something else.
    shutil.copy(other.folder / "config.toml", tmp_path / "run" / "config.toml")
    with pytest.raises(RequestError, match="variance is learned, not None"):
        sample_run(tmp_path / "run", _TWO)


def test_networks_without_such_a_last_layer_are_refused() -> None:
    with pytest.raises(RequestError, match="last layer is a Conv2d named `output`, but mine has"):
        add_variances(nn.Sequential(nn.Conv2d(1, 1, 1)), "mine")
    with pytest.raises(RequestError, match="a model of states has the variance posterior"):
        ModelSpec("qbottleneck-unet", variance="learned")
    assert ModelSpec("unet", variance="beta").variance is None
