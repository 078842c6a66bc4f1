"""Ansätze: builders of variational circuits, one a file, and the registry of their names.

The names are known without importing Qiskit; a builder is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports
from qhybrid_circuits.ansatz.registry import ANSATZE, build_ansatz

if TYPE_CHECKING:
    from qhybrid_circuits.ansatz.basic_entangling import basic_entangling
    from qhybrid_circuits.ansatz.fqconv import fqconv
    from qhybrid_circuits.ansatz.hqconv import hqconv

__all__ = ["ANSATZE", "basic_entangling", "build_ansatz", "fqconv", "hqconv"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {"basic_entangling": ".basic_entangling", "fqconv": ".fqconv", "hqconv": ".hqconv"},
)
