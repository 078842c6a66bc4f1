import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from qhybrid.cli import main
from qhybrid.files import checksum
from qhybrid.run_folder import Run, newest_folder
from qhybrid.run_group import Group
from qhybrid.settings.config import Config
from qhybrid.settings.sources import load_config
from qhybrid.training.outcome import Interrupted, TrainingDiverged
from qhybrid.training.seeds import train_seeds
from qhybrid.training.state import TrainingState
from qhybrid.training.train import train
from qhybrid_circuits.errors import RequestError

SMALL: dict[str, Any] = {
    "model.name": "unet",
    "model.dim": 2,
    "data.limit": 40,
    "training.batch_size": 10,
    "training.max_steps": 4,
    "training.device": "cpu",
    "training.seed": 3,
    "sampling.steps": 1,
    "sampling.num_images": 1,
}


def small(**overrides: Any) -> Config:
    return load_config(overrides={**SMALL, **overrides})


def weights(run: Run) -> str:
    return checksum(load_file(run.model_file))


def disturb(monkeypatch: pytest.MonkeyPatch, seed: int, what: Any) -> None:
    """Call something, once, in step 2 of the run with a seed."""
    original, left = TrainingState.__init__, [what]

    def init(self: TrainingState, module: Any, config: Config, plan: Any) -> None:
        original(self, module, config, plan)
        if config.training.seed == seed and left:
            add_loss = self.add_loss

            def disturbed(loss: Tensor) -> None:
                if self.step == 1 and left:
                    left.pop()()
                add_loss(loss)

            monkeypatch.setattr(self, "add_loss", disturbed, raising=False)

    monkeypatch.setattr(TrainingState, "__init__", init)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    return train_seeds(small(), seeds=2, out=tmp_path_factory.mktemp("runs") / "group")


def test_each_run_is_as_it_would_be_alone(group: Group, tmp_path: Path) -> None:
    assert group.seeds() == [3, 4]
    first, second = group.runs()
    assert first.config().training.seed == 3
    alone = train(small(**{"training.seed": 4}), out=tmp_path / "alone")
    assert weights(second) == weights(alone)
    assert weights(first) != weights(second)


def test_an_interrupted_group_goes_on_where_it_was(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "group"
    disturb(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match=rf"step 2 of seed-4; .* --resume --out {folder}$"):
        train_seeds(small(), seeds=3, out=folder)
    broken = Group(folder)
    assert broken.seeds() == [3, 4, 5]
    assert [run.newest_step() for run in broken.runs()] == [4, 2]
    before = broken.run(3).model_file.stat().st_mtime_ns
    train_seeds(out=folder, resume=True)
    assert [run.newest_step() for run in broken.runs()] == [4, 4, 4]
    assert broken.run(3).model_file.stat().st_mtime_ns == before
    assert weights(broken.run(4)) == weights(group.run(4))


def test_a_group_that_was_killed_at_its_start_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be resumed has all of its seeds; before, there are empty folders at most."""
    folder, seen = tmp_path / "group", list[list[int]]()

    def killed(config: Config, path: Path) -> None:
        seen.append(Group(path.parent).seeds())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qhybrid.training.seeds.save_config", killed)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(small(), seeds=3, out=folder)
    assert seen == [[3, 4, 5]]
    with pytest.raises(RequestError, match="has no group of runs"):
        train_seeds(out=folder, resume=True)
    group = train_seeds(small(**{"training.max_steps": 1}), seeds=2, out=folder)
    assert group.seeds() == [3, 4]
    assert [run.newest_step() for run in group.runs()] == [1, 1]


def test_a_finished_group_can_get_seeds_and_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    group = train_seeds(small(**{"training.max_steps": 1}), seeds=1)
    assert group.folder == Path("runs/unet-digits-1")
    assert newest_folder() == group.folder
    with pytest.raises(RequestError, match=r"all 1 runs .* --seeds N with N above 1"):
        train_seeds(out=group.folder, resume=True)
    assert main(["train", "--resume", "--seeds", "2", "--set", "training.max_steps=2"]) == 0
    assert [run.newest_step() for run in group.runs()] == [2, 2]
    assert group.config().training.max_steps == 2
    capsys.readouterr()
    assert main(["train", "--resume", "--seeds", "1"]) == 2
    assert "has 2 seeds already" in capsys.readouterr().err


def test_a_run_that_diverges_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge() -> None:
        raise TrainingDiverged(2, None)

    disturb(monkeypatch, 3, diverge)
    with pytest.raises(TrainingDiverged):
        train_seeds(small(), seeds=2, out=tmp_path / "group")
    assert [run.newest_step() for run in Group(tmp_path / "group").runs()] == [0, 4]


@pytest.mark.parametrize(
    ("overrides", "seeds", "match"),
    [
        ({}, 0, "--seeds must be"),
        ({"training.seed": 2**63 - 1}, 2, r"training\.seed"),
        ({"data.dataset": "none.npz"}, 2, "does not exist"),
        ({"data.classes": "77"}, 2, "77"),
    ],
)
def test_a_wrong_request_leaves_no_files(
    overrides: dict[str, Any], seeds: int, match: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=match):
        train_seeds(small(**overrides), seeds=seeds, out=tmp_path / "group")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sample", "report", "evaluate"])
def test_commands_for_a_run_name_the_runs_of_a_group(
    command: str, group: Group, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(group.folder)]) == 2
    assert f"name one of them, e.g. {group.folder}/seed-3" in capsys.readouterr().err


def test_a_group_is_not_begun_or_resumed_as_something_else(
    group: Group, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(group.folder)
    assert main(["train", "--out", out]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", out, "--batch-size", "7"]) == 2
    assert "training.batch_size is 10 in the run" in capsys.readouterr().err
    assert main(["train", "--resume", "--seeds", "2", "--out", f"{out}/seed-3"]) == 2
    assert "is one run" in capsys.readouterr().err
