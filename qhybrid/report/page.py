"""A report as one HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from qhybrid.report.build import Report, circuit_names
from qhybrid.report.charts import stock_charts, trend_charts
from qhybrid.report.circuit_drawing import MOST_GATES, draw_circuit
from qhybrid.report.circuits import CircuitUse
from qhybrid.report.device_map import device_map, draw_layout
from qhybrid.report.markup import fill
from qhybrid.report.remarks import hints, remarks
from qhybrid.report.run_page import RunPage, run_page
from qhybrid.report.sections import headline, probability, sections

#: Devices of a circuit whose layout and charts are drawn; a ranking has dozens.
_MOST_DRAWN = 6

#: Characters of a page's drawings and pictures: with all else it is below 500 kB.
_LARGEST = 420_000

#: Bytes of pictures where drawings leave fewer.
_LEAST_PICTURES = 60_000

#: Tables that the charts show already, or that are too long for a narrow page.
_LEFT_OUT = ("Gradients at other sizes",)


def page(report: Report) -> str:
    """Return the page."""
    content = report.content
    # A ranking may have left out every target of a circuit.
    reported = {each["circuit"] for each in content["reports"]}
    circuits = [
        _circuit(report, name, use)
        for name, use in zip(circuit_names(report.circuits), report.circuits.uses, strict=True)
        if name in reported
    ]
    filled = fill(
        "page.html",
        content=content,
        run=_run(report, circuits),
        headline=headline(content),
        remarks=remarks(content),
        hints=hints(content),
        circuits=circuits,
        sections=[each for each in sections(content) if each.title not in _LEFT_OUT],
        probability=probability,
    )
    return str(filled)


def _run(report: Report, circuits: Sequence[Mapping[str, Any]]) -> RunPage | None:
    """Return what the page shows of a run; its pictures get the bytes that drawings leave."""
    if report.run is None:
        return None
    maps = (drawn for each in circuits for card in each["cards"] for drawn in card["maps"])
    taken = sum(map(len, (*(each["picture"] for each in circuits), *maps)))
    # Base64 makes four bytes of three.
    most = max(_LEAST_PICTURES, 3 * (_LARGEST - taken) // 4)
    return run_page(report.run, picture_bytes=most)


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
