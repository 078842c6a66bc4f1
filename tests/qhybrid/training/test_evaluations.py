"""Figures while a run is trained, and the weights that are kept."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch.utils.tensorboard import SummaryWriter

from qhybrid.cli.main import main
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.evaluation import comparison
from qhybrid.evaluation.evaluate import evaluate
from qhybrid.evaluation.figures import FIGURES
from qhybrid.evaluation.names import GOOD
from qhybrid.evaluation.request import EvaluationRequest
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.sampling.request import SamplingRequest
from qhybrid.sampling.sample_run import sample_run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training import evaluations
from qhybrid.training.batches import NOISE, derive_seed
from qhybrid.training.outcome import Interrupted
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from tests.selection import thorough

SMALL: dict[str, Any] = {
    "model.name": "unet",
    "model.dim": 4,
    "training.batch_size": 100,
    "training.epochs": 3,
    "training.lr_schedule": "constant",
    "training.log_every": 3,
    "training.device": "cpu",
    "training.keep_epochs": "1,3",
    "sampling.steps": 2,
    "sampling.num_images": 1,
    "evaluation.every": 2,
    "evaluation.images": 100,
    "evaluation.figures": "FID,recall",
}
"""300 images, 3 steps an epoch: evaluated after steps 6 and 9."""

FIGURES_OF_RUN = ["classifier-FID", "precision", "recall"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in two splits."""
    digits = load_digits()
    images = (digits.images * 15.9).astype(np.uint8)
    file = tmp_path_factory.mktemp("data") / "digits.npz"
    parts = {"train": slice(300), "test": slice(300, 500)}
    arrays = {f"{split}_images": images[part] for split, part in parts.items()}
    labels = {f"{split}_labels": digits.target[part] for split, part in parts.items()}
    np.savez(file, **arrays, **labels)
    return file


@pytest.fixture(scope="module")
def small(data: Path) -> Callable[..., Config]:
    return lambda **changes: load_config(overrides={**SMALL, "data.dataset": str(data), **changes})


@pytest.fixture(scope="module")
def whole(small: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small(), out=tmp_path_factory.mktemp("runs") / "whole")


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics_file.open(newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        del row["steps_per_second"]  # of the clock
    return found


def test_an_evaluation_has_a_row_a_file_and_the_best_weights(whole: Run) -> None:
    logged = [row for row in rows(whole) if not row["loss"]]
    assert [(row["step"], row["epoch"]) for row in logged] == [("6", "2"), ("9", "3")]
    assert [row["step"] for row in rows(whole) if row["loss"]] == ["3", "6", "9"]
    values = {}
    for row in logged:
        record = json.loads((whole.evaluations / f"epoch-00{row['epoch']}.json").read_text())
        assert [each["name"] for each in record["figures"]] == FIGURES_OF_RUN
        for each in record["figures"]:
            assert float(row[each["name"]]) == pytest.approx(each["value"], rel=1e-5)
            assert each["low"] <= each["value"] <= each["high"]
        assert float(row["held_out_loss"]) == pytest.approx(record["held_out_loss"], rel=1e-5)
        values[record["epoch"]] = record["figures"][0]["value"]
    best = json.loads(whole.best_record.read_text())
    assert best["figure"] == "classifier-FID"
    assert best["value"] == min(values.values()) == values[best["epoch"]]
    if best["epoch"] == 3:  # the last weights
        assert same_tensors(whole.best_file, whole.model_file)


def same_tensors(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_figures_are_those_of_evaluate(whole: Run, tmp_path: Path) -> None:
    request = EvaluationRequest(num_images=100, epoch="3", device="cpu")
    found = {
        each.name: each for each in evaluate(whole.folder, request, out=tmp_path / "e").figures
    }
    record = json.loads((whole.evaluations / "epoch-003.json").read_text())
    for each in record["figures"]:
        assert found[each["name"]].value == pytest.approx(each["value"], rel=1e-4)
        assert found[each["name"]].floor == pytest.approx(each["floor"], rel=1e-4)
        assert found[each["name"]].low == pytest.approx(each["low"], rel=1e-3, abs=1e-6)


def test_the_held_out_loss_is_that_of_the_formula(whole: Run, data: Path) -> None:
    """The P2-weighted squared error of the noise (Choi et al. 2022, eq. 8), on 100 test images."""
    config = whole.config()
    with np.load(data) as arrays:
        pixels = torch.from_numpy(arrays["test_images"][:100]).float()
    x = (pixels / 127.5 - 1).unsqueeze(1)
    generator = torch.Generator().manual_seed(derive_seed(config.training.seed, NOISE, 0))
    t = torch.randint(config.diffusion.timesteps, (100,), generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    bar = noise_scheduler(config.diffusion.schedule_spec).alphas_cumprod[t].view(-1, 1, 1, 1)
    model = load_model(whole.folder).eval()
    with torch.no_grad():
        predicted = model(bar.sqrt() * x + (1 - bar).sqrt() * noise, t)
    weights = (config.diffusion.p2_k + bar / (1 - bar)) ** -config.diffusion.p2_gamma
    expected = (weights * (predicted - noise) ** 2).mean()
    logged = float(rows(whole)[-1]["held_out_loss"])
    assert logged == pytest.approx(float(expected), rel=1e-5)


def test_evaluations_do_not_change_the_training(
    whole: Run, small: Callable[..., Config], tmp_path: Path
) -> None:
    plain = train(small(**{"evaluation.every": 0}), out=tmp_path / "plain")
    assert plain.model_file.read_bytes() == whole.model_file.read_bytes()
    assert not plain.evaluations.exists()
    losses = [{k: row[k] for k in ("step", "loss")} for row in rows(whole) if row["loss"]]
    assert [{k: row[k] for k in ("step", "loss")} for row in rows(plain)] == losses


def test_kept_epochs_are_those_of_shorter_runs(
    whole: Run, small: Callable[..., Config], tmp_path: Path
) -> None:
    changes = {"training.epochs": 1, "training.keep_epochs": "1", "evaluation.every": 0}
    short = train(small(**changes), out=tmp_path / "short")
    assert same_tensors(whole.epoch_weights(1), short.model_file)
    assert same_tensors(whole.epoch_weights(3), whole.model_file)
    four = SamplingRequest(num_images=4, device="cpu")
    drawn = sample_run(whole, SamplingRequest(num_images=4, device="cpu", epoch="1"))
    assert drawn.images_file.read_bytes() == sample_run(short, four).images_file.read_bytes()
    assert json.loads(drawn.manifest_file.read_text())["epoch"] == "1"
    with pytest.raises(RequestError, match=r"--epoch 2; kept are: 1, 3, best; .*--keep-epochs 2"):
        sample_run(whole, SamplingRequest(epoch="2"))


@pytest.mark.parametrize("step", [6, *thorough([9])])
def test_an_evaluation_that_was_stopped_is_made_up_for(
    whole: Run,
    small: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    original = evaluations.sample

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if f"step-{step:07d}.ckpt" in {path.name for path in (tmp_path / "run").rglob("*.ckpt")}:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "sample", stopped)
        with pytest.raises(Interrupted, match=f"saved at step {step}"):
            train(small(), out=tmp_path / "run")
    run = train(out=tmp_path / "run", resume=True)
    same_as(run, whole)


def test_a_kill_before_the_row_leaves_one_row(
    whole: Run, small: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: Any, **kwargs: Any) -> None:
        raise SystemExit  # at no step, as a kill

    with monkeypatch.context() as patch:
        patch.setattr(evaluations.MetricsLog, "write_evaluation", killed)
        with pytest.raises(SystemExit):
            train(small(), out=tmp_path / "run")
    run = train(out=tmp_path / "run", resume=True)
    same_as(run, whole)
    with pytest.raises(RequestError, match="done all of its 9 steps"):
        train(out=tmp_path / "run", resume=True)


def same_as(run: Run, whole: Run) -> None:
    assert rows(run) == rows(whole)
    assert run.best_record.read_bytes() == whole.best_record.read_bytes()
    assert run.best_file.read_bytes() == whole.best_file.read_bytes()
    assert run.model_file.read_bytes() == whole.model_file.read_bytes()


def test_figures_that_are_asked_for_later_get_columns(
    small: Callable[..., Config], tmp_path: Path
) -> None:
    """A log without figures, as of earlier versions, goes on with them."""
    early = {"training.epochs": 1, "training.keep_epochs": "1", "evaluation.every": 0}
    run = train(small(**early), out=tmp_path / "run")
    assert "recall" not in rows(run)[0]
    later = {"training.epochs": 2, "training.keep_epochs": "1", "evaluation.every": 2}
    train(small(**later, **{"evaluation.figures": "FID,SSIM"}), out=run.folder, resume=True)
    found = rows(run)
    assert [row["step"] for row in found] == ["3", "6", "6"]
    assert [bool(row["SSIM"]) for row in found] == [False, False, True]


def test_figures_reach_tensorboard(
    small: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(SummaryWriter, "add_scalar", lambda _, *given: seen.append(given))
    changes = {"training.epochs": 1, "training.keep_epochs": "1"}
    run = train(small(**changes), out=tmp_path / "run")
    (row,) = [row for row in rows(run) if not row["loss"]]
    told = {name.removeprefix("evaluation/"): value for name, value, step in seen if step == 3}
    for name in ("held_out_loss", *FIGURES_OF_RUN):
        assert float(row[name]) == pytest.approx(told[name], rel=1e-5)


def test_the_names_are_those_of_the_figures() -> None:
    assert list(GOOD) == [name for figure in comparison.FIGURES for name in figure.limits]
    assert len(FIGURES) == 6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluation.figures=Recal", "unknown figure 'Recal'; did you mean recall"),
        ("evaluation.features=clasifier", "'clasifier'; did you mean classifier"),
        ("evaluation.best=IS", "evaluation.best is IS, but evaluation.figures are FID, KID"),
        ("evaluation.images=99", "evaluation.images"),
        ("quantum.backend=fake_fez", "every round on the backend 'fake_fez' is a job"),
        ("data.classes=3", "leaves 91 real images"),
        ("training.keep_epochs=0", "training.keep_epochs"),
    ],
)
def test_wrong_requests_leave_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    command = ["train", "--out", str(tmp_path / "run"), "--evaluate-every", "1"]
    assert main([*command, "--set", setting]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_figure_that_is_neither_good_nor_bad_chooses_no_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "evaluation.figures=SSIM", "--set", "evaluation.best=SSIM"]
    assert main(["train", "--out", str(tmp_path / "run"), *sets]) == 2
    assert "neither high nor low values are good" in capsys.readouterr().err
