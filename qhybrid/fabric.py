"""What is in use of Lightning Fabric, imported without torchmetrics.

To compare torchmetrics' version, which concerns its SpikeDetection alone, Fabric imports it, and
with it scipy.signal, torchvision and matplotlib: a fifth of what `qhybrid train` does before its
first step. The installed version is told to it here instead.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


@contextmanager
def _version_alone(package: str) -> Iterator[None]:
    """Let imports in the block find an empty package with the version of the installed one."""
    if package in sys.modules:
        yield
        return
    stand_in = ModuleType(package)
    try:
        stand_in.__version__ = version(package)  # type: ignore[attr-defined]
    except PackageNotFoundError:
        yield
        return
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(package) is stand_in:
            del sys.modules[package]


with _version_alone("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.mpi import MPIEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = [
    "ClusterEnvironment",
    "DDPStrategy",
    "Fabric",
    "LightningEnvironment",
    "MPIEnvironment",
    "MixedPrecision",
    "SLURMEnvironment",
    "TorchElasticEnvironment",
]
