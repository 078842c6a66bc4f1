"""Diffusion models whose U-Net vertex is a Qiskit circuit."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.data.load import load_dataset
    from qhybrid.evaluation.evaluate import evaluate
    from qhybrid.models.spec import ModelSpec as ModelSpec
    from qhybrid.models.storage import load_model
    from qhybrid.models.zoo import build_model
    from qhybrid.run_folder import Run as Run
    from qhybrid.sampling.request import SamplingRequest
    from qhybrid.sampling.sample_run import sample_run
    from qhybrid.settings.config import Config
    from qhybrid.settings.sources import load_config as load_config
    from qhybrid.sharing.export import export_run as export_run
    from qhybrid.sharing.pipeline import Pipeline as Pipeline
    from qhybrid.sharing.pipeline import from_pretrained, load
    from qhybrid.training.train import train
    from qhybrid.version import __version__

__all__ = [
    "Config",
    "SamplingRequest",
    "__version__",
    "build_model",
    "evaluate",
    "from_pretrained",
    "load",
    "load_dataset",
    "load_model",
    "sample_run",
    "train",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Config": ".settings.config",
        "ModelSpec": ".models.spec",
        "Pipeline": ".sharing.pipeline",
        "Run": ".run_folder",
        "SamplingRequest": ".sampling.request",
        "build_model": ".models.zoo",
        "evaluate": ".evaluation.evaluate",
        "export_run": ".sharing.export",
        "from_pretrained": ".sharing.pipeline",
        "load": ".sharing.pipeline",
        "load_config": ".settings.sources",
        "load_dataset": ".data.load",
        "load_model": ".models.storage",
        "sample_run": ".sampling.sample_run",
        "train": ".training.train",
        "__version__": ".version",
    },
)
