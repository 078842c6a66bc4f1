"""Ansätze: builders of variational circuits, one a file; `ansatz_registry` has their rows.

A builder's module has an underscore, since a package's attribute cannot be both a builder and a
submodule.
"""

from qhybrid_circuits.ansatz._basic_entangling import basic_entangling
from qhybrid_circuits.ansatz._brickwork import MOST_QUBITS_OF_ALL, brickwork
from qhybrid_circuits.ansatz._fqconv import fqconv
from qhybrid_circuits.ansatz._hqconv import hqconv
from qhybrid_circuits.ansatz._qattention import qattention
from qhybrid_circuits.ansatz._reupload import reupload
from qhybrid_circuits.ansatz_registry import ANSATZE, ansatz_builder, build_ansatz

__all__ = [
    "ANSATZE",
    "MOST_QUBITS_OF_ALL",
    "ansatz_builder",
    "basic_entangling",
    "brickwork",
    "build_ansatz",
    "fqconv",
    "hqconv",
    "qattention",
    "reupload",
]
