"""Diffusion models whose U-Net vertex is a Qiskit circuit."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.config import Config
    from qhybrid.config_sources import load_config
    from qhybrid.data import load_dataset
    from qhybrid.models import ModelSpec, build_model, load_model
    from qhybrid.run_folder import Run
    from qhybrid.sampling import SamplingRequest, sample_run
    from qhybrid.training import train
    from qhybrid.version import __version__

__all__ = [
    "Config",
    "ModelSpec",
    "Run",
    "SamplingRequest",
    "__version__",
    "build_model",
    "load_config",
    "load_dataset",
    "load_model",
    "sample_run",
    "train",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Config": ".config",
        "ModelSpec": ".models",
        "Run": ".run_folder",
        "SamplingRequest": ".sampling",
        "build_model": ".models",
        "load_config": ".config_sources",
        "load_dataset": ".data",
        "load_model": ".models",
        "sample_run": ".sampling",
        "train": ".training",
        "__version__": ".version",
    },
)
