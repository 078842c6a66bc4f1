"""Training where circuits are simulated with the shots or the errors of a device."""

import os
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from device_circuits import ring
from safetensors.torch import load_file

from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.outcome import Interrupted
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_runtime import Backend, get_backend, quantum_layer
from qhybrid_runtime.backends.qpu import QpuBackend
from tests.selection import thorough

#: A module with a model of one circuit of two qubits, a round a step.
MODEL = """
import torch
from device_circuits import ring
from torch import nn

from qhybrid.models.row import ModelRow, Size
from qhybrid_runtime import quantum_layer


class Tiny(nn.Module):
    def __init__(self, spec, execution):
        super().__init__()
        backend, gradient = execution.backend, execution.gradient
        self.quantum = quantum_layer(ring(2), backend, gradient, generator=execution.generator)
        self.down, self.up = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x, t):
        features = self.down(x)
        return self.up(features + self.quantum(features.mean((2, 3)))[:, :, None, None])


ROW = ModelRow("tiny", Tiny, "", "", circuits=True, size=Size(dim=2, image_size=8))
"""


def config(backend: str, **changes: object) -> Config:
    small = {"data.classes": "0,1", "training.batch_size": 4, "training.device": "cpu"}
    few = {"training.max_steps": 4, "sampling.steps": 2, "sampling.num_images": 1}
    return load_config(overrides={"quantum.backend": backend, **small, **few, **changes})


@pytest.mark.parametrize("gradient", ["adjoint", *thorough(["spsa"])])
@pytest.mark.parametrize(
    "backend", ["fake_manila", *thorough(["aer:fake_manila", "noise-aware:fake_manila"])]
)
def test_training_on_a_fake_device_resumes_exactly(
    backend: str, gradient: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    given = {"model.name": "tiny_model:ROW", "quantum.gradient": gradient}
    if gradient not in get_backend(backend).gradients:
        pytest.skip("no gradient of this backend")
    whole = train(config(backend, **given), out="whole")
    part = train(config(backend, **given, **{"training.max_steps": 2}), out="part")
    train(config(backend, **given), out=part.folder, resume=True)
    one, other = load_file(whole.model_file), load_file(part.model_file)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def values(backend: Backend) -> torch.Tensor:
    layer = quantum_layer(ring(3), backend, "adjoint", [0.1, 0.2, 0.3])
    with torch.no_grad():
        return layer(torch.ones(25, 3))


def test_each_round_has_shots_of_its_own() -> None:
    backend = get_backend("fake_manila", seed=1, shots=64)
    drawn = []
    for step in (1, 2, 1):
        backend.at_round(step)
        drawn += [values(backend), values(backend)]
    assert torch.equal(drawn[0], drawn[4])
    assert torch.equal(drawn[1], drawn[5])
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:4])


@pytest.mark.parametrize("backend", ["fake_manila", "aer:fake_manila", "noise-aware:fake_manila"])
def test_a_backend_draws_from_the_runs_seed(backend: str) -> None:
    session = build_session(config(backend, **{"training.seed": 3}))
    drawn = values(session.backend)
    assert torch.equal(drawn, values(get_backend(backend, seed=3)))
    assert not torch.equal(drawn, values(get_backend(backend, seed=4)))


@pytest.mark.parametrize("stopped", [False, True])
def test_training_gives_back_what_it_held_on_the_device(
    stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    closed: list[str] = []
    monkeypatch.setattr(QpuBackend, "close", lambda self: closed.append(self.name))
    given = {"model.name": "tiny_model:ROW", "training.max_steps": 2}
    with pytest.raises(Interrupted) if stopped else nullcontext(), monkeypatch.context() as patch:
        if stopped:
            first = TrainingState.end_step
            patch.setattr(
                TrainingState,
                "end_step",
                lambda state: (os.kill(os.getpid(), signal.SIGTERM), first(state)),
            )
        train(config("fake_manila", **given), out="run")
    assert closed == ["fake_manila"]
