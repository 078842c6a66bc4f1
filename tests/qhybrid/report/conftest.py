import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qhybrid.models.model_file import write_spec
from qhybrid.models.spec import ModelSpec
from qhybrid.report.build import Report, build_report
from qhybrid.report.request import ReportRequest
from qhybrid.run_folder import Run
from qhybrid.run_metrics import FIGURE
from qhybrid.settings.config import Config
from qhybrid.settings.sources import save_config

EPOCHS = 12


@pytest.fixture(scope="session")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cache(_folder: Path) -> Iterator[Path]:
    """A cache folder that only these tests have, and no account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QHYBRID_CACHE_DIR", str(_folder))
        patch.setenv("HOME", str(_folder))
        patch.delenv("QISKIT_IBM_TOKEN", raising=False)
        yield _folder


@pytest.fixture(scope="module")
def model_report(cache: Path) -> Report:
    return build_report(ReportRequest("1hqconv-qvunet", ("fake_nighthawk", "fake_berlin")))


@pytest.fixture(scope="module")
def released_report(cache: Path) -> Report:
    settings = {"variant": "released", "channels": 2}
    return build_report(ReportRequest("hqconv", ("fake_nighthawk",), settings=settings))


@pytest.fixture(scope="session")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every record, and pictures of noise, which no codec makes small."""
    run, rng = Run(tmp_path_factory.mktemp("run")), np.random.default_rng(0)
    save_config(Config(), run.config_file)
    spec = ModelSpec("1fqconv-qvunet", image_size=8, dim=2, ansatz_layers=1)
    write_spec(run.folder, spec, {})
    lines = ["step,epoch,loss,learning_rate,steps_per_second,influence,held_out_loss,FID"]
    for epoch in range(1, EPOCHS + 1):
        lines += [f"{10 * epoch},{epoch},{1 / epoch},0.1,5,{0.1 / epoch},,"]
        lines += [f"{10 * epoch},{epoch},,,,,{2 / epoch},{40 / epoch}"]
        figure = dict(zip(FIGURE, (30 / epoch, 40 / epoch, 50 / epoch, 1.0), strict=True))
        record = json.dumps({"epoch": epoch, "figures": [{"name": "FID", **figure}]})
        run.evaluations.mkdir(exist_ok=True)
        (run.evaluations / f"epoch-{epoch:03d}.json").write_text(record)
        run.samples.mkdir(exist_ok=True)
        noise(rng).save(run.sample_grid(epoch))
    run.metrics_file.write_text("\n".join(lines) + "\n")
    noise(rng).save(run.forward_plot)
    drawn = run.samplings / "ddim-1"
    drawn.mkdir(parents=True)
    noise(rng).save(drawn / "grid.png")
    first, *rest = [noise(rng) for _ in range(12)]
    first.save(drawn / "denoising.gif", save_all=True, append_images=rest)
    return run


@pytest.fixture(scope="module")
def run_report(cache: Path, recorded_run: Run) -> Report:
    """The report of that run, for its page."""
    # What the page shows of circuits is another's test: an ansatz stands for them.
    report = build_report(ReportRequest("basic_entangling", health=False))
    named = {"kind": "run", "name": str(recorded_run.folder), "model": "1fqconv-qvunet"}
    report.content["subject"].update(named)
    nothing = ("health", "influence", "influence_measured_on", "sampling")
    counts = {"circuits_per_step": 1, "rounds_per_step": 1}
    report.content["model"] = counts | dict.fromkeys(nothing)
    return replace(report, run=recorded_run)


def noise(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8))
