"""Devices: what is known of them, their targets, accounts, bills and the record of paid work."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.devices.billing import (
        Bill,
        PrimitiveSettings,
        RoundSize,
        estimate,
        estimate_stock,
    )
    from qhybrid_runtime.devices.ledger import Ledger
    from qhybrid_runtime.devices.targets import fake_target, uniform_target

__all__ = [
    "Bill",
    "Ledger",
    "PrimitiveSettings",
    "RoundSize",
    "estimate",
    "estimate_stock",
    "fake_target",
    "uniform_target",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Bill": ".billing",
        "Ledger": ".ledger",
        "PrimitiveSettings": ".billing",
        "RoundSize": ".billing",
        "estimate": ".billing",
        "estimate_stock": ".billing",
        "fake_target": ".targets",
        "uniform_target": ".targets",
    },
)
