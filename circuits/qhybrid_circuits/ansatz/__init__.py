"""Ansätze: builders of variational circuits, one a file, and the registry of their names.

The names are known without importing Qiskit; a builder is imported when it is asked for. Its module
has an underscore, since a package's attribute cannot be a builder and a submodule at once.
"""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports
from qhybrid_circuits.ansatz.registry import ANSATZE, ansatz_builder, build_ansatz

if TYPE_CHECKING:
    from qhybrid_circuits.ansatz._basic_entangling import basic_entangling
    from qhybrid_circuits.ansatz._brickwork import brickwork
    from qhybrid_circuits.ansatz._fqconv import fqconv
    from qhybrid_circuits.ansatz._hqconv import hqconv
    from qhybrid_circuits.ansatz._qattention import qattention

__all__ = [
    "ANSATZE",
    "ansatz_builder",
    "basic_entangling",
    "brickwork",
    "build_ansatz",
    "fqconv",
    "hqconv",
    "qattention",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "basic_entangling": "._basic_entangling",
        "brickwork": "._brickwork",
        "fqconv": "._fqconv",
        "hqconv": "._hqconv",
        "qattention": "._qattention",
    },
)
