"""What is in use of Lightning Fabric, imported without torchmetrics.

To compare torchmetrics' version, which concerns its SpikeDetection alone, Fabric imports it, and
with it scipy.signal: a tenth of the time that importing the training loop takes. The installed
version is told to it here instead.
"""

from qhybrid.imports import version_alone

with version_alone("torchmetrics"):
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
