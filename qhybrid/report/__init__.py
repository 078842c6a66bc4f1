"""`qhybrid report`: what a model, an ansatz or a run costs on a device, and its health."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.report.build import Report, build_report
    from qhybrid.report.render import FORMATS, render
    from qhybrid.report.request import ReportRequest

__all__ = ["FORMATS", "Report", "ReportRequest", "build_report", "render"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "FORMATS": ".render",
        "Report": ".build",
        "ReportRequest": ".request",
        "build_report": ".build",
        "render": ".render",
    },
)
