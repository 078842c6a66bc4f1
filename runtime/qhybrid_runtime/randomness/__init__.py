"""Random bits that are read from qubits, and normally distributed numbers made of them."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports
from qhybrid_runtime.randomness.cost import measured_seconds

if TYPE_CHECKING:
    from qhybrid_runtime.randomness.coins import BitSource, coin_circuit
    from qhybrid_runtime.randomness.extraction import unbiased_bits
    from qhybrid_runtime.randomness.factory import bit_source
    from qhybrid_runtime.randomness.normal import normal_numbers

__all__ = [
    "BitSource",
    "bit_source",
    "coin_circuit",
    "measured_seconds",
    "normal_numbers",
    "unbiased_bits",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BitSource": ".coins",
        "bit_source": ".factory",
        "coin_circuit": ".coins",
        "normal_numbers": ".normal",
        "unbiased_bits": ".extraction",
    },
)
