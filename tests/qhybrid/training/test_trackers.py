import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from qhybrid.cli import main
from qhybrid.run_folder import Run
from qhybrid.run_metrics import read_metrics
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train

SMALL = {
    "model.name": "unet",
    "model.dim": 8,
    "training.log_every": 1,
    "training.device": "cpu",
    "sampling.num_images": 1,
    "sampling.steps": 1,
}


def trained(folder: Path, tracker: str, steps: int, resume: bool = False) -> tuple[Run, str]:
    config = load_config(
        overrides={**SMALL, "training.tracker": tracker, "training.max_steps": steps}
    )
    console = Console(file=io.StringIO(), width=300)
    run = train(config, out=folder, resume=resume, console=console)
    return run, console.file.getvalue()  # type: ignore[attr-defined]


def losses(run: Run) -> list[float]:
    return [float(row["loss"]) for row in read_metrics(run.metrics_file)]


def test_figures_of_all_sessions_go_to_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, list[tuple[int, float]]] = {}
    finished = []

    def init(project: str, name: str, config: dict, resume: str) -> SimpleNamespace:
        assert (project, config["model.dim"], resume) == ("qhybrid", "8", "allow")
        rows = logged.setdefault(name, [])
        return SimpleNamespace(
            log=lambda values, step: rows.append((step, values["loss"])),
            finish=lambda: finished.append(name),
        )

    monkeypatch.setitem(sys.modules, "trackio", ModuleType("trackio"))
    monkeypatch.setattr(sys.modules["trackio"], "init", init, raising=False)
    monkeypatch.setattr("qhybrid.training.train.check_tracker", lambda name: None)
    trained(tmp_path / "run", "trackio", 2)
    run, _ = trained(tmp_path / "run", "trackio", 3, resume=True)
    ((name, rows),) = logged.items()
    assert name.startswith("run-")
    assert finished == [name, name]
    assert [step for step, _ in rows] == [1, 2, 3]
    assert [loss for _, loss in rows] == pytest.approx(losses(run), rel=1e-5)


def test_a_tracker_that_fails_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ModuleType("trackio")
    monkeypatch.setitem(sys.modules, "trackio", broken)  # without `init`
    monkeypatch.setattr("qhybrid.training.train.check_tracker", lambda name: None)
    run, shown = trained(tmp_path / "run", "trackio", 1)
    assert shown.count("warning: trackio failed") == 1
    assert run.model_file.is_file()
    assert len(losses(run)) == 1


def test_a_tracker_that_is_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("qhybrid.settings.trackers.find_spec", lambda name: None)
    assert main(["train", "--tracker", "mlflow", "--out", str(tmp_path / "run")]) == 2
    assert "pip install 'qhybrid[trackers]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_mlflow_has_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="mlflow is installed without its database")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trained(tmp_path / "run", "mlflow", 2)
    run, _ = trained(tmp_path / "run", "mlflow", 3, resume=True)
    client = mlflow.MlflowClient(f"sqlite:///{run.folder / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("qhybrid").experiment_id])
    history = sorted(client.get_metric_history(found.info.run_id, "loss"), key=lambda m: m.step)
    assert [each.value for each in history] == pytest.approx(losses(run), rel=1e-5)
    assert found.data.params["model.name"] == "unet"


def test_wandb_keeps_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, shown = trained(tmp_path / "run", "wandb", 1)
    assert "warning" not in shown
    assert list(run.folder.glob("wandb/offline-run-*/*.wandb"))


def test_trackio_takes_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="trackio is not installed")
    run, shown = trained(tmp_path / "run", "trackio", 2)
    assert "warning" not in shown
    assert len(losses(run)) == 2
