"""The device and the precision of a training."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import small

from qhybrid.run_metrics import read_metrics
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError


def test_bf16_trains(tmp_path: Path) -> None:
    config = small(**{"training.precision": "bf16", "training.max_steps": 2})
    run = train(config, out=tmp_path / "run")
    assert {tensor.dtype for tensor in load_file(run.model_file).values()} == {torch.float32}
    assert 0 < float(read_metrics(run.metrics_file)[-1]["loss"]) < 10


def test_a_missing_gpu_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="'cuda' is not available"):
        train(small(**{"training.device": "cuda"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
