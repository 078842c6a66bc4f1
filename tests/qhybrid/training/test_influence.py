import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from qhybrid.data.load import load_dataset
from qhybrid.diffusion.loss import denoising_loss
from qhybrid.diffusion.schedules import noise_scheduler
from qhybrid.influence import in_words, read_influence, run_influence
from qhybrid.models.quantum_vertex import QuantumVertexConv
from qhybrid.models.storage import load_model
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.influence import Probe, held_out
from qhybrid.training.outcome import Interrupted
from qhybrid.training.session import Session, build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.statevector import StatevectorBackend

SMALL: dict[str, Any] = {
    "model.dim": 2,
    "model.ansatz_layers": 1,
    "data.limit": 48,
    "training.batch_size": 16,
    "training.epochs": 2,
    "training.log_every": 2,
    "training.device": "cpu",
    "sampling.steps": 2,
    "sampling.num_images": 2,
}
"""48 images, 16 a step: epochs end at steps 3 and 6."""


def small(**overrides: Any) -> Config:
    return load_config(overrides={**SMALL, **overrides})


def probe_of(session: Session) -> Probe:
    module = session.state.module
    return Probe(module, held_out(session.config.data, session.dataset, module))


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics_file.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    run = train(small(), out=tmp_path_factory.mktemp("runs") / "run", console=console)
    return run, console.export_text()


def test_a_finished_run_says_what_its_circuits_change(finished: tuple[Run, str]) -> None:
    run, printed = finished
    record, found = read_influence(run), run_influence(run)
    assert record is not None
    assert found is not None
    assert (record.step, record.images, record.split) == (6, 48, "train")
    assert found.to_dict() == record.influence
    assert found.mean.samples is not None
    assert 0 < found.mean.output < 1
    assert f"influence  {in_words(record.influence)}; see docs/influence.md" in printed


def test_the_figures_are_those_of_the_saved_model_without_its_circuits(
    finished: tuple[Run, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed again from the files, with the circuits replaced in the code of the network."""
    run, _ = finished
    model, config = load_model(run.folder), run.config()
    dataset = load_dataset("digits", limit=48)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(4))
    images, scheduler = dataset.tensor()[order], noise_scheduler(config.diffusion.schedule_spec)
    outputs: list[Tensor] = []

    def loss() -> float:
        def recorded(x: Tensor, t: Tensor) -> Tensor:
            outputs.append(model(x, t))
            return outputs[-1]

        generator = torch.Generator().manual_seed(4)
        weighting = config.diffusion.weighting
        return float(denoising_loss(recorded, images, scheduler, weighting, generator))

    with torch.no_grad():
        usual = loss()
        monkeypatch.setattr(
            QuantumVertexConv, "measure", lambda self, x: 0 * x[:, : self.quantum_channels]
        )
        silent = loss()
    found = run_influence(run)
    assert found is not None
    assert found.zero.loss is not None
    change = (outputs[0] - outputs[1]).double().numpy()
    expected = np.sqrt((change**2).mean()) / outputs[0].double().numpy().std()
    assert found.zero.output == pytest.approx(expected, rel=1e-3)
    assert found.zero.loss == pytest.approx((silent - usual) / usual, abs=1e-5)
    assert abs(found.zero.loss) > 1e-5


def test_it_is_logged_where_epochs_end(finished: tuple[Run, str]) -> None:
    logged = rows(finished[0])
    assert [int(row["step"]) for row in logged] == [2, 3, 4, 6]
    assert [bool(row["influence"]) for row in logged] == [False, True, False, True]
    last = run_influence(finished[0])
    assert last is not None
    assert float(logged[-1]["influence"]) == pytest.approx(last.mean.output, rel=1e-3)


def test_measuring_does_not_touch_the_training(
    finished: tuple[Run, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished
    monkeypatch.setattr(Probe, "logged", lambda *_: 0.5)
    other = train(small(), out=tmp_path / "run")
    assert other.model_file.read_bytes() == run.model_file.read_bytes()
    assert rows(other)[-1]["influence"] == "0.5"
    assert rows(other)[-1]["loss"] == rows(run)[-1]["loss"]


@pytest.mark.parametrize("where", ["measured", "plots"])
def test_an_interruption_after_the_last_step_leaves_a_model_and_says_so(
    finished: tuple[Run, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run, _ = finished

    def interrupted(_: object, state: TrainingState | None = None) -> None:
        if state is None or state.step == state.plan.total_steps:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        if where == "measured":
            patched.setattr(Probe, "influence", interrupted)
        else:  # noted, but no step follows
            patched.setattr("qhybrid.training.plots.Plots.after_step", interrupted)
        with pytest.raises(Interrupted, match=r"finished .* not measured: qhybrid train --resume"):
            train(small(), out=tmp_path)
    other = Run(tmp_path)
    assert other.model_file.read_bytes() == run.model_file.read_bytes()
    assert read_influence(other) is None
    assert read_influence(train(resume=True, out=tmp_path)) == read_influence(run)


def test_runs_of_earlier_versions_go_on(tmp_path: Path) -> None:
    first = train(small(**{"training.epochs": 1, "training.lr_schedule": "constant"}), out=tmp_path)
    assert run_influence(first) is not None
    lines = first.metrics_file.read_text().splitlines()
    # As a version without this column wrote it.
    first.influence_file.unlink()
    first.metrics_file.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    again = train(
        small(**{"training.epochs": 2, "training.lr_schedule": "constant"}),
        out=tmp_path,
        resume=True,
    )
    record = read_influence(again)
    assert record is not None
    assert record.step == 6
    assert [int(row["step"]) for row in rows(again)] == [2, 3, 4, 6]
    assert [bool(row["influence"]) for row in rows(again)] == [False, False, False, True]


def test_no_circuit_runs_on_the_backend_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    session = build_session(small(**{"quantum.backend": "aer"}))

    def refuse(*_: object) -> None:
        raise AssertionError("the run's backend was asked")

    expected = probe_of(build_session(small())).influence()
    monkeypatch.setattr(type(session.backend), "evaluate", refuse)
    monkeypatch.setattr(type(session.backend), "estimator", refuse)
    assert not isinstance(session.backend, StatevectorBackend)
    assert probe_of(session).influence() == expected


@pytest.mark.parametrize("name", ["1hqconv-qvunet-control", "qbottleneck-unet"])
def test_controls_and_models_of_states(name: str) -> None:
    own = {"model.dim": 4, "sampling.steps": 10} if name == "qbottleneck-unet" else {}
    found, images = probe_of(build_session(small(**{"model.name": name, **own}))).influence()
    assert images == 48
    assert all(change["output"] > 1e-6 for change in found.to_dict().values())
    assert found.mean.loss is not None
    assert found.mean.samples is not None


@pytest.mark.parametrize("changed", [{"model.name": "unet"}, {"data.limit": 1}], ids=str)
def test_no_circuits_and_a_single_image_have_none(changed: dict[str, Any], tmp_path: Path) -> None:
    run = train(small(**changed, **{"training.max_steps": 1}), out=tmp_path)
    assert run_influence(run) is None
    assert "influence" not in rows(run)[-1]


@pytest.fixture
def images(rng: np.random.Generator) -> dict[str, np.ndarray]:
    count = {"train": 12, "test": 8}
    arrays = {}
    for split, number in count.items():
        arrays[f"{split}_images"] = rng.integers(1, 255, (number, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(number) % 2
    return arrays


def split_of(path: Path, arrays: dict[str, np.ndarray]) -> str:
    np.savez(path, **arrays)
    session = build_session(small(**{"data.dataset": str(path)}))
    held = held_out(session.config.data, session.dataset, session.state.module)
    images = arrays[f"{held.split}_images"]
    assert len(held.images) == len(images)
    known = {
        image.tobytes(): label
        for image, label in zip(images, arrays[f"{held.split}_labels"], strict=True)
    }
    bytes_of = ((held.images[:, 0] + 1) * 127.5).round().to(torch.uint8).numpy()
    assert [known[image.tobytes()] for image in bytes_of] == held.ids.tolist()
    return held.split


def test_test_images_are_taken_where_they_are_like_those_of_the_training(
    tmp_path: Path, images: dict[str, np.ndarray]
) -> None:
    assert split_of(tmp_path / "whole.npz", images) == "test"
    others = {**images, "test_labels": images["test_labels"] + 5}
    assert split_of(tmp_path / "other-classes.npz", others) == "train"
    only = {name: array for name, array in images.items() if "train" in name}
    assert split_of(tmp_path / "no-test.npz", only) == "train"


@pytest.mark.parametrize("content", ["{", "[]", '{"step": 1}', "null"])
def test_a_damaged_record_is_one_line(tmp_path: Path, content: str) -> None:
    run = Run(tmp_path)
    run.influence_file.write_text(content)
    with pytest.raises(RequestError, match=r"influence.json' is not a readable record .*delete it"):
        read_influence(run)


def test_a_changed_record_is_refused(finished: tuple[Run, str], tmp_path: Path) -> None:
    values = json.loads(finished[0].influence_file.read_text())
    values["influence"]["mean"]["output"] = 0.9
    Run(tmp_path).influence_file.write_text(json.dumps(values))
    with pytest.raises(RequestError, match="SHA-256"):
        read_influence(Run(tmp_path))


WORDS = {
    (
        1.7e-5,
        -1e-9,
    ): "output by 1.7e-05 of its size and the loss by +0.00 %: the model does without",
    (
        0.02,
        -0.001,
    ): "output by 0.02 of its size and the loss by -0.10 %: the loss does not need them",
    (0.2, 0.13): "output by 0.2 of its size and the loss by +13.00 %: the model uses them",
    (0.2, None): "output by 0.2 of its size: the model uses them",
}


@pytest.mark.parametrize("figures", WORDS, ids=str)
def test_influence_in_words(figures: tuple[float, float | None]) -> None:
    output, loss = figures
    assert WORDS[figures] in in_words({"mean": {"output": output, "loss": loss}})
    said = in_words({"mean": {"output": output, "loss": loss}}, control=True)
    assert said.startswith("layers in the circuits' places set to their mean")
