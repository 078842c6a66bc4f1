"""The exact engine: a circuit becomes a program, a program becomes a differentiable sweep."""

from qhybrid_runtime.engine.error_site import ErrorSite
from qhybrid_runtime.engine.expectations import Batch, expectations, round_expectations
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program, compile_program

__all__ = [
    "Batch",
    "ErrorSite",
    "ObservableSet",
    "Program",
    "compile_program",
    "expectations",
    "round_expectations",
]
