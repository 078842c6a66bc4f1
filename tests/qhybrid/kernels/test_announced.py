from pathlib import Path
from typing import Any

import numba
import pytest
from rich.console import Console

from qhybrid.kernels.announced import announced_compilation
from qhybrid.settings.sources import load_config
from qhybrid.training.module import DenoisingModule
from qhybrid.training.train import train


def test_a_compilation_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    with announced_compilation(Console()):
        inner = numba.njit(lambda x: x + 1)
        outer = numba.njit(lambda x: inner(x) * 2)
        assert outer(1) == 4
        assert outer(1.5) == 5.0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "compiling" in printed
    assert numba.njit(lambda x: x - 1)(1) == 0
    assert not capsys.readouterr().out


def test_nothing_is_said_of_what_is_compiled_already(capsys: pytest.CaptureFixture[str]) -> None:
    function = numba.njit(lambda x: x + 1)
    function(1)
    with announced_compilation(Console()):
        function(2)
    assert not capsys.readouterr().out


def test_training_announces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = DenoisingModule.forward

    def forward(*arguments: Any) -> Any:
        numba.njit(lambda x: x + 1)(1)
        return original(*arguments)

    monkeypatch.setattr(DenoisingModule, "forward", forward)
    few = {"training.max_steps": 2, "sampling.steps": 1, "sampling.num_images": 1}
    config = load_config(overrides={"model.name": "unet", "training.device": "cpu", **few})
    train(config, out=tmp_path / "run", console=Console())
    assert capsys.readouterr().out.count("compiling kernels, which are then kept") == 1
