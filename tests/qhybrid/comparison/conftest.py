import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qhybrid.files import write_json, write_text
from qhybrid.run_folder import Run
from qhybrid.run_metrics import COLUMNS
from qhybrid.settings.sources import load_config, save_config

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that makes the folder of a finished run, without a model that works."""

    def make(
        name: str, *, losses: tuple[float, ...] = (0.5, 0.4), finished: bool = True, **settings: Any
    ) -> Run:
        run = Run(tmp_path / name)
        dotted = {key.replace("__", "."): value for key, value in settings.items()}
        config = load_config(overrides={"training.epochs": len(losses), **dotted})
        save_config(config, run.config_file)
        write_json(run.environment_file, {"started": "2026-01-01T00:00:00+00:00"})
        rows = [(10 * n, n, loss, 0.001, 4.0) for n, loss in enumerate(losses, start=1)]
        lines = [",".join(map(str, row)) for row in (COLUMNS, *rows)]
        write_text(run.metrics_file, "\n".join(lines) + "\n")
        write_text(run.model_file, "")
        if finished:
            write_text(run.sample_grid(len(losses)), "")
        return run

    return make


@pytest.fixture
def add_evaluation() -> Callable[..., Path]:
    """Return a function that puts an evaluation into the folder of a run."""

    def add(run: Run, number: int, **values: Any) -> Path:
        created = values.pop("created", "2026-02-01T00:00:00+00:00")
        drawn = {"sampler": "ddim", "steps": values.pop("steps", 20), "backend": "statevector"}
        sampling = run.samplings / f"evaluate-abc-{number}"
        write_json(sampling / "manifest.json", {"created": created, "seed": 0, **drawn})
        shared = {
            "features": "classifier",
            "low": 0.0,
            "high": 9.0,
            "floor": 0.1,
            "images": values.pop("images", 256),
            "reference": "train",
            "reference_images": 1541,
            "floor_images": 256,
        }
        figures = [{"name": name, "value": value, **shared} for name, value in values.items()]
        path = sampling / "evaluation-1" / "evaluation.json"
        write_text(path, json.dumps({"dataset": "digits", "figures": figures}))
        return path

    return add
