"""A run is done when nothing of it is left, wherever a kill came between."""

import os
from pathlib import Path

from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.completion import is_complete


def test_plots_and_influence_come_after_the_last_grid(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for path in (run.model_file, run.metrics_file, run.sample_grid(2), run.checkpoint(6)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    settings = {"training.epochs": 2}
    plain = load_config(overrides={**settings, "model.name": "unet"})
    hybrid = load_config(overrides={**settings, "model.name": "1hqconv-qvunet"})
    assert run.is_finished(plain)
    assert not is_complete(run, plain)
    run.loss_plot.touch()
    os.utime(run.loss_plot, ns=(2**62, 2**62))
    assert is_complete(run, plain)
    assert not is_complete(run, hybrid)
