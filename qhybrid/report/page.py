"""A report as one HTML page that needs nothing but itself."""

from collections.abc import Sequence
from typing import Any

from qhybrid.report.build import Report, circuit_names
from qhybrid.report.charts import stock_charts, trend_charts
from qhybrid.report.circuit_drawing import MOST_GATES, draw_circuit
from qhybrid.report.circuits import CircuitUse
from qhybrid.report.device_map import device_map, draw_layout
from qhybrid.report.markup import fill
from qhybrid.report.sections import headline, probability, remarks, sections

#: Devices of a circuit whose layout and charts are drawn; a ranking has dozens.
_MOST_DRAWN = 6

#: Tables that the charts show already, or that are too long for a narrow page.
_LEFT_OUT = ("Gradients at other sizes",)


def page(report: Report) -> str:
    """Return the page."""
    content = report.content
    # A ranking may have left out every target of a circuit.
    reported = {each["circuit"] for each in content["reports"]}
    filled = fill(
        "page.html",
        content=content,
        headline=headline(content),
        remarks=remarks(content),
        circuits=[
            _circuit(report, name, use)
            for name, use in zip(circuit_names(report.circuits), report.circuits.uses, strict=True)
            if name in reported
        ],
        sections=[each for each in sections(content) if each.title not in _LEFT_OUT],
        probability=probability,
    )
    return str(filled)


def _circuit(report: Report, name: str, use: CircuitUse) -> dict[str, Any]:
    """Return what the page shows of a circuit: its picture, its layouts and its charts."""
    reports = [each for each in report.content["reports"] if each["circuit"] == name]
    on_devices = [each for each in reports if each["target"] is not None]
    devices = {device.name: device for device in report.devices}
    health = reports[0]["health"] or {"dead_weight_indices": [], "trend": None}
    dead: Sequence[int] = health["dead_weight_indices"]
    circuit, weights = use.variational.circuit, use.variational.weights
    return {
        "name": name,
        "picture": draw_circuit(use.variational, dead),
        "cut": MOST_GATES if len(circuit.data) > MOST_GATES else None,
        "dead": len(dead),
        "missing": sum(not circuit.has_parameter(weights[index]) for index in dead),
        "devices": len(on_devices),
        "cards": [
            {
                "report": each,
                "charts": stock_charts(each),
                "maps": draw_layout(device_map(devices[each["target"]]), each),
            }
            for each in on_devices[:_MOST_DRAWN]
        ],
        "trend": trend_charts(name, health["trend"]) if health["trend"] else [],
    }
