"""EstimatorV2 primitives that evaluate all samples and observables of a PUB together."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.estimators.aer import AerStatevectorEstimator
    from qhybrid_runtime.estimators.device import (
        DeviceEstimator,
        Estimates,
        LoweredTask,
        RoundExecutor,
    )
    from qhybrid_runtime.estimators.statevector import StatevectorEngineEstimator

__all__ = [
    "AerStatevectorEstimator",
    "DeviceEstimator",
    "Estimates",
    "LoweredTask",
    "RoundExecutor",
    "StatevectorEngineEstimator",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AerStatevectorEstimator": ".aer",
        "DeviceEstimator": ".device",
        "Estimates": ".device",
        "LoweredTask": ".device",
        "RoundExecutor": ".device",
        "StatevectorEngineEstimator": ".statevector",
    },
)
