from pathlib import Path

import pytest

from qhybrid.cli import main

QUICK = ["training.max_steps=1", "training.batch_size=4", "model.ansatz_layers=1"]
QUICK += ["sampling.num_images=1", "sampling.steps=1"]
QUICK = [word for key in QUICK for word in ("--set", key)]


@pytest.fixture(scope="session")
def page_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of the names that pages and examples have."""
    folder = tmp_path_factory.mktemp("pages")
    for model, schedule in (("1hqconv-qvunet", "cosine"), ("unet", "learned")):
        options = ["--set", f"diffusion.schedule={schedule}", "--model", model, *QUICK]
        assert main(["train", *options, "--out", str(folder / f"runs/{model}-digits-1")]) == 0
    return folder
