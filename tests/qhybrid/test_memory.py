from pathlib import Path

import pytest
import torch

from qhybrid.cli import main
from qhybrid.models.catalog import check_model_memory
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError


def _free(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setattr("qhybrid.memory.available_bytes", lambda: count)


def _refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_model_too_large_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _free(monkeypatch, 24e9)
    error = _refusal(["train", "--set", "model.dim=1024"], capsys)
    assert "1hqconv-qvunet with dim 1024" in error
    assert "GB of memory, of which 24.0 GB are free; choose a smaller model.dim" in error
    assert list(tmp_path.iterdir()) == []
    _free(monkeypatch, 1e9)
    with pytest.raises(RequestError, match="of memory"):
        build_model(ModelSpec("unet", dim=1024))


@pytest.mark.parametrize(("name", "dim"), [("unet", 24), ("wide-unet", 8), ("1hqconv-qvunet", 20)])
def test_the_estimate_is_near_the_number_of_weights(
    name: str, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelSpec(name, dim=dim)
    weights = sum(each.numel() for each in build_model(spec).parameters())
    _free(monkeypatch, 4 * weights * 1.3)
    check_model_memory(spec, copies=1)
    _free(monkeypatch, 4 * weights / 1.3)
    with pytest.raises(RequestError, match=f"{name} with dim {dim}"):
        check_model_memory(spec, copies=1)


def test_more_images_than_the_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(load_config(overrides={"training.max_steps": 1}), out=tmp_path / "run")
    _free(monkeypatch, 5e8)
    error = _refusal(["sample", str(run.folder), "--num-images", "10000000"], capsys)
    # As bytes, 8x8 pixels each.
    assert "10,000,000 images of 8x8 would take about 0.6 GB" in error
    assert not run.samplings.exists()


def _ask_torch() -> None:
    torch.empty(10**15)


def _ask_python() -> None:
    bytearray(2**62)


@pytest.mark.parametrize("ask", [_ask_torch, _ask_python])
def test_exhausted_memory_is_one_line(
    ask: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(main.__globals__["COMMANDS"], "models", ask)
    assert main(["models"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the memory does not suffice" in error
    assert "Error" not in error
