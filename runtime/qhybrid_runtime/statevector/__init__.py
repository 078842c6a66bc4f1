"""The exact engine: a circuit becomes a program, a program becomes a differentiable sweep."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid_runtime.statevector.engine import expectations
    from qhybrid_runtime.statevector.error_site import ErrorSite
    from qhybrid_runtime.statevector.observables import ObservableSet
    from qhybrid_runtime.statevector.program import Program, compile_program

__all__ = ["ErrorSite", "ObservableSet", "Program", "compile_program", "expectations"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ErrorSite": ".error_site",
        "ObservableSet": ".observables",
        "Program": ".program",
        "compile_program": ".program",
        "expectations": ".engine",
    },
)
