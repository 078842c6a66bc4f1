import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from qhybrid.cli.main import main
from qhybrid.run_folder import Run
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.optimizers import JointOptimizer, make_optimizer
from qhybrid.training.outcome import Interrupted
from qhybrid.training.session import build_session
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid.training.transfer import circuit_weights
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime import CircuitBank
from qhybrid_runtime.natural_gradient.metric import fubini_study_metric
from tests.selection import thorough

SMALL: dict[str, Any] = {
    "model.ansatz_layers": 1,
    "data.classes": "0,1",
    "training.optimizer": "qng",
    "training.batch_size": 16,
    "training.max_steps": 4,
    "training.device": "cpu",
    "training.warmup_steps": 2,
    "natural_gradient.samples": 3,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}


def small(**overrides: Any) -> Config:
    return load_config(overrides={**SMALL, **overrides})


def trained_weights(run: Run) -> dict[str, Tensor]:
    """The weights themselves; the model file has their averages."""
    newest = run.newest_checkpoint()
    assert newest is not None
    state = torch.load(newest, weights_only=True)["model"]
    return dict(state)


def two_parts() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return nn.Linear(3, 4), nn.Linear(4, 2)


def test_a_joint_step_is_that_of_each_member() -> None:
    parts = two_parts()
    alone = copy.deepcopy(parts)
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))

    def descend(
        network: tuple[nn.Module, nn.Module], optimizers: list[Any], steps: int = 5
    ) -> None:
        schedules = [LambdaLR(each, lambda step: 0.9**step) for each in optimizers]
        for _ in range(steps):
            for each in optimizers:
                each.zero_grad()
            network[1](network[0](inputs)).square().mean().backward()
            for each in (*optimizers, *schedules):
                each.step()

    def members(network: tuple[nn.Module, nn.Module]) -> list[Any]:
        return [Adam(network[0].parameters(), 0.1), SGD(network[1].parameters(), 0.3, momentum=0.5)]

    descend(alone, members(alone))
    joint = JointOptimizer(*members(parts))
    descend(parts, [joint])
    for part, same in zip(parts, alone, strict=True):
        for ours, theirs in zip(part.parameters(), same.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    resumed = copy.deepcopy(parts)
    loaded = JointOptimizer(*members(resumed))
    loaded.load_state_dict(copy.deepcopy(joint.state_dict()))
    descend(parts, [joint])
    descend(resumed, [loaded])
    assert torch.equal(parts[0].weight, resumed[0].weight)
    assert torch.equal(parts[1].weight, resumed[1].weight)
    assert not torch.equal(parts[1].weight, alone[1].weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_adam_is_torchs(dtype: torch.dtype, generator: torch.Generator) -> None:
    """It takes all weights in one call, but for complex ones."""
    ours = nn.Linear(3, 4, dtype=dtype)
    theirs = copy.deepcopy(ours)
    section = small(**{"training.optimizer": "adam", "training.learning_rate": 0.1})
    optimizers = [
        make_optimizer(ours, section.training, section.natural_gradient),
        Adam(theirs.parameters(), 0.1, section.training.betas, section.training.eps),
    ]
    inputs = torch.randn(8, 3, generator=generator).to(dtype)
    for _ in range(5):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            network(inputs).abs().square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    assert bool(optimizers[0].param_groups[0]["fused"]) == (dtype == torch.float32)


def test_a_step_is_the_solution_of_the_regularized_system(tmp_path: Path) -> None:
    config = small(
        **{
            "training.max_steps": 1,
            "training.warmup_steps": 0,
            # Adam's first step hardly depends on the scale; the circuits' would be all but none.
            "training.gradient_clip": 1e-4,
            "natural_gradient.learning_rate": 0.7,
            "natural_gradient.regularization": 0.05,
        }
    )
    run = train(config, out=tmp_path / "run")
    session = build_session(config)
    module, model = session.state.module, session.state.model
    fed: dict[str, Tensor] = {}
    for name, bank in model.named_modules():
        if isinstance(bank, CircuitBank):
            bank.register_forward_pre_hook(
                lambda _, given, name=name: fed.update({f"{name}.layers.0": given[0][0].detach()})
            )
    module(*next(iter(session.batches(session.dataset))), 0).backward()
    moved = trained_weights(run)
    names = circuit_weights(model)
    assert len(fed) == len(names) == 4
    for name in names:
        layer = model.get_submodule(name.removesuffix(".weight"))
        inputs = fed[name.removesuffix(".weight")]
        variational, weight = layer.variational, layer.weight
        rows = inputs.reshape(-1, inputs.shape[-1])[[0, 5, 10]]
        metric = fubini_study_metric(variational, rows, weight)
        damped = metric + 0.05 * torch.eye(len(weight))
        step = torch.linalg.inv(damped) @ weight.grad.double()
        assert step.abs().max() > 1e-6
        expected = weight.detach() - 0.7 * step
        torch.testing.assert_close(moved[name].double(), expected, atol=1e-7, rtol=0)
    rest = [name for name, _ in model.named_parameters() if name not in names]
    state = model.state_dict()
    rates = torch.stack([(moved[name] - state[name]).abs().max() for name in rest])
    assert rates.max().item() == pytest.approx(config.training.learning_rate, rel=1e-2)


@pytest.mark.parametrize(
    ("metric", "accumulate", "every"),
    [("block-diagonal", 2, 3), *thorough([("full", 1, 1)])],
    ids=str,
)
def test_a_resumed_run_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, accumulate: int, every: int
) -> None:
    config = small(
        **{
            "training.accumulate": accumulate,
            "natural_gradient.metric": metric,
            "natural_gradient.every": every,
        }
    )
    whole = train(config, out=tmp_path / "whole")
    original = TrainingState.end_step

    def stop(self: TrainingState) -> None:
        original(self)
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "end_step", stop)
        with pytest.raises(Interrupted, match="saved at step 2"):
            train(config, out=tmp_path / "run")
    run = train(out=tmp_path / "run", resume=True)
    expected, saved = trained_weights(whole), trained_weights(run)
    assert not [name for name in expected if not torch.equal(saved[name], expected[name])]
    assert run.model_file.read_bytes() == whole.model_file.read_bytes()


def test_an_adam_run_cannot_become_a_qng_run(tmp_path: Path) -> None:
    adam = small(**{"training.optimizer": "adam", "training.max_steps": 1})
    run = train(adam, out=tmp_path / "run")
    with pytest.raises(RequestError, match=r"training\.optimizer is adam in the run .* become qng"):
        train(small(), out=run.folder, resume=True)


def test_mixed_precision_trains(tmp_path: Path) -> None:
    config = small(**{"training.precision": "bf16", "training.max_steps": 2})
    run = train(config, out=tmp_path / "run")
    assert {tensor.dtype for tensor in load_file(run.model_file).values()} == {torch.float32}


def test_circuits_alone_can_be_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {**SMALL, "training.optimizer": "adam", "training.max_steps": 1, "model.dim": 8}
    settings["model.name"] = "wide-unet"
    wide = train(load_config(overrides=settings), out=tmp_path / "wide")
    given = [f"{key}={value}" for key, value in settings.items()]
    options = [part for pair in given for part in ("--set", pair)]
    command = ["train", "--model", "hqconv-wide-unet", "--init-from", str(wide.folder), *options]
    out = ["--out", str(tmp_path / "run")]
    assert main([*command, *out, "--freeze", "classical", "--optimizer", "qng"]) == 0
    assert "natural gradient" in capsys.readouterr().out
    start, end = load_file(wide.model_file), trained_weights(Run(tmp_path / "run"))
    kept = [name for name in end if name in start]
    assert len(kept) == len(start)
    assert all(torch.equal(end[name], start[name]) for name in kept)
    (circuit,) = [name for name in end if name not in start]
    first = build_session(Run(tmp_path / "run").config()).state.model.state_dict()[circuit]
    assert not torch.equal(end[circuit], first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.name": "unet"}, "unet has no circuits; use --optimizer adam"),
        ({"model.name": "1hqconv-qvunet-control"}, "control has no circuits"),
        ({"quantum.backend": "fake_fez"}, "must be statevector or aer, but is 'fake_fez'"),
        ({"quantum.backend": "aer:fake_fez"}, "must be statevector or aer, but is 'aer:fake_fez'"),
        ({"quantum.noise_aware": "fake_fez"}, "noise-aware training; use --optimizer adam"),
        ({"natural_gradient.regularization": 0}, r"natural_gradient\.regularization"),
        ({"natural_gradient.samples": 0}, r"natural_gradient\.samples"),
        ({"natural_gradient.metric": "diagonal"}, r"natural_gradient\.metric .*block-diagonal"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_what_has_no_metric_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        small(**settings)


def test_the_command_line_names_the_optimizers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "unet", "--optimizer", "qng"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: optimizer 'qng'")
    assert error.count("\n") == 1
    assert main(["train", "--optimizer", "sgd"]) == 2
    assert "adam" in capsys.readouterr().err
