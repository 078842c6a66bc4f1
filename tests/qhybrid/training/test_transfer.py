import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from qhybrid.cli import main
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.outcome import Interrupted
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid.training.transfer import circuit_weights
from qhybrid_circuits.errors import RequestError

CIRCUIT = "vertex.circuit.bank.layers.0.weight"
SMALL: dict[str, Any] = {
    "data.classes": "0,1",
    "training.batch_size": 64,
    "training.max_steps": 4,
    "training.device": "cpu",
    "training.warmup_steps": 0,
    "sampling.steps": 2,
    "sampling.num_images": 4,
}


def small(model: str, **overrides: Any) -> Config:
    return load_config(overrides={**SMALL, "model.name": model, **overrides})


def from_run(model: str, run: Run, **transfer: str) -> Config:
    settings = {f"transfer.{key}": value for key, value in transfer.items()}
    return small(model, **{"transfer.init_from": str(run.folder), **settings})


def record(run: Run) -> dict[str, Any]:
    return json.loads(run.transfer_file.read_text())


@pytest.fixture(scope="module")
def classical(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(small("unet"), out=tmp_path_factory.mktemp("runs") / "classical")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = small("wide-unet", **{"model.dim": 8, "training.max_steps": 1})
    return train(config, out=tmp_path_factory.mktemp("runs") / "wide")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, signals: int = 1) -> None:
    original = TrainingState.add_loss
    unsent = [signal.SIGINT] * signals

    def add_loss(self: TrainingState, loss: Tensor) -> None:
        while self.step + 1 == step and unsent:
            os.kill(os.getpid(), unsent.pop())
        original(self, loss)

    monkeypatch.setattr(TrainingState, "add_loss", add_loss)


@pytest.mark.parametrize("model", ["unet", "1fqconv-qvunet", "1fqconv-qvunet-control"])
def test_all_but_the_vertex_is_taken(model: str, classical: Run) -> None:
    """As in the paper's transfer and in its classical control."""
    session = build_session(from_run(model, classical))
    fresh = build_session(small(model))
    source, state = load_file(classical.model_file), session.state.model.state_dict()
    random = fresh.state.model.state_dict()
    for name, tensor in state.items():
        vertex = name.startswith("vertex.")
        assert torch.equal(tensor, random[name] if vertex else source[name]), name
    taken = session.transfer
    assert taken is not None
    assert set(taken.new) == {name for name in state if name.startswith("vertex.")}
    assert set(taken.taken) == set(state) - set(taken.new)
    assert set(taken.skipped) == {name for name in source if name.startswith("vertex.")}
    assert (taken.frozen, taken.model) == ((), "unet")
    assert taken.weights == sum(source[name].numel() for name in taken.taken)
    assert taken.trained == sum(p.numel() for p in session.state.model.parameters())
    averages = session.state.ema.state_dict()["shadow_params"]
    for average, parameter in zip(averages, session.state.model.parameters(), strict=True):
        assert torch.equal(average, parameter)


def test_blocks_that_became_quanvolutional_are_new(classical: Run) -> None:
    transfer = build_session(from_run("quanvunet", classical)).transfer
    assert transfer is not None
    outside = [name for name in transfer.new if not name.startswith("vertex.")]
    assert len(outside) == 2 * 2 * 3
    assert all(
        name.startswith("encoder.1.") and (".bank." in name or ".classical." in name)
        for name in outside
    )
    assert "encoder.1.first.time.weight" in transfer.taken


def test_frozen_fine_tuning_trains_the_circuit_alone(
    wide: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = from_run("hqconv-wide-unet", wide, freeze="classical")
    config = load_config(overrides={**_flat(config), "model.dim": 8})
    run = train(config, out=tmp_path / "run", console=Console(width=200))
    before, after = load_file(wide.model_file), load_file(run.model_file)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert after.keys() - before.keys() == {CIRCUIT}
    spec = ModelSpec("hqconv-wide-unet", 8, dim=8)
    start = build_session(config).state.model.state_dict()[CIRCUIT]
    assert (after[CIRCUIT] - start).abs().max() > 1e-4
    written = record(run)
    assert written["new"] == [CIRCUIT]
    assert written["trained"] == 28
    assert set(written["frozen"]) == set(before) == set(written["taken"])
    assert circuit_weights(build_model(spec)) == {CIRCUIT}
    printed = capsys.readouterr().out
    assert f"{len(before)} of {len(before) + 1} tensors" in printed
    assert "1 tensor: vertex.circuit" in printed
    assert "28 weights are trained" in printed


def _flat(config: Config) -> dict[str, Any]:
    sections = config.model_dump(exclude_none=True)
    return {f"{s}.{key}": value for s, table in sections.items() for key, value in table.items()}


def test_circuits_are_taken_from_the_same_model_alone(tmp_path: Path) -> None:
    source = train(small("1hqconv-qvunet", **{"training.max_steps": 1}), out=tmp_path / "source")
    same = build_session(from_run("1hqconv-qvunet", source, vertex="taken")).transfer
    assert same is not None
    assert not same.new
    for model in ("1hqconv-qvunet-control", "7hqconv-qvunet"):
        other = build_session(from_run(model, source, vertex="taken")).transfer
        assert other is not None
        assert [name for name in other.new if name.endswith("bank.layers.0.weight")]
        assert not [name for name in other.taken if ".bank." in name]
    frozen = build_session(from_run("1hqconv-qvunet", source, freeze="classical"))
    trained = {n for n, p in frozen.state.model.named_parameters() if p.requires_grad}
    assert trained == circuit_weights(frozen.state.model)
    assert len(trained) == 4


@pytest.mark.parametrize("freeze", ["classical", None])
@pytest.mark.parametrize(("stop_at", "signals"), [(2, 1), (2, 2)], ids=["saved", "not saved"])
@pytest.mark.thorough  # `test_stages.py` resumes a transfer, too
def test_a_resumed_transfer_ends_as_an_uninterrupted_one(
    classical: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    freeze: str | None,
    stop_at: int,
    signals: int,
) -> None:
    source = Run(shutil.copytree(classical.folder, tmp_path / "source"))
    config = from_run("1fqconv-qvunet", source, **({"freeze": freeze} if freeze else {}))
    whole = train(config, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop_at, signals)
        with pytest.raises(Interrupted):
            train(config, out=tmp_path / "run")
    saved = Run(tmp_path / "run").newest_checkpoint() is not None
    assert saved == (signals == 1)
    if saved:
        shutil.rmtree(source.folder)  # its weights are in the checkpoint
    run = train(out=tmp_path / "run", resume=True)
    assert record(run) == record(whole)
    ours, theirs = load_file(run.model_file), load_file(whole.model_file)
    assert not [name for name in theirs if not torch.equal(ours[name], theirs[name])]


def test_a_source_that_has_changed_is_refused_on_resuming(
    classical: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Run(shutil.copytree(classical.folder, tmp_path / "source"))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2, 2)
        with pytest.raises(Interrupted):
            train(from_run("unet", source), out=tmp_path / "run")
    train(load_config(overrides={**_flat(small("unet")), "training.seed": 1}), out=tmp_path / "b")
    shutil.copy(Run(tmp_path / "b").model_file, source.model_file)
    with pytest.raises(RequestError, match="are not those that this run started from"):
        train(out=tmp_path / "run", resume=True)


def test_a_resumed_run_keeps_its_source(classical: Run, wide: Run, tmp_path: Path) -> None:
    train(small("unet", **{"training.max_steps": 1}), out=tmp_path / "run")
    with pytest.raises(RequestError, match=r"transfer\.init_from is unset in the run"):
        train(from_run("unet", classical), out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("model", "flags", "said"),
    [
        ("wide-unet", [], ["can take nothing", "wide-unet", "unet", "has shape", "there and"]),
        (
            "unet",
            ["--set", "model.dim=20"],
            ["can take nothing", "(40, 10) there and (80, 20) here"],
        ),
        ("unet", ["--freeze", "classical"], ["leaves nothing to train", "transfer.vertex=new"]),
    ],
)
def test_what_cannot_be_transferred_is_one_line_and_leaves_no_folder(
    model: str,
    flags: list[str],
    said: list[str],
    classical: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = ["train", "--model", model, "--init-from", str(classical.folder), *flags]
    assert main([*arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not [part for part in said if part not in error], error
    assert not out.exists()


def test_a_source_without_weights_is_refused(
    tmp_path: Path, classical: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--init-from", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    shutil.copytree(classical.folder, tmp_path / "young")
    (tmp_path / "young" / "model.safetensors").unlink()
    assert main(["train", "--init-from", str(tmp_path / "young")]) == 2
    assert "has not reached its first checkpoint" in capsys.readouterr().err
    assert main(["train", "--freeze", "classical"]) == 2
    assert "--init-from RUN" in capsys.readouterr().err


def test_a_damaged_record_is_refused(classical: Run, tmp_path: Path) -> None:
    run = train(from_run("unet", classical), out=tmp_path / "run")
    run.transfer_file.write_text("{}")
    with pytest.raises(RequestError, match="not a readable record of transferred weights"):
        train(from_run("unet", classical), out=run.folder, resume=True)
