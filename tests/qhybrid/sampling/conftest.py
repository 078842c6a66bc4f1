import pytest

from qhybrid.run_folder import Run
from qhybrid.settings.sources import load_config
from qhybrid.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = load_config(
        overrides={
            "model.ansatz_layers": 1,
            "training.max_steps": 1,
            "training.device": "cpu",
            "sampling.steps": 2,
            "sampling.num_images": 1,
        }
    )
    return train(config, out=tmp_path_factory.mktemp("runs") / "device")
