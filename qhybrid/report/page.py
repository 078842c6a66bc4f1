"""A report as one HTML page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from qhybrid.report.build import Report
from qhybrid.report.charts import stock_charts, trend_charts
from qhybrid.report.circuit_drawing import MOST_GATES, draw_circuit, is_cut
from qhybrid.report.device_map import device_map, draw_layout
from qhybrid.report.sections import Section, headline, probability, remarks, sections

#: Devices of a circuit whose layout and charts are drawn; a ranking has dozens.
_MOST_DRAWN = 6

#: Tables that the charts show already, or that are too long for a narrow page.
_LEFT_OUT = ("Gradients at other sizes",)

_GLOSSARY = {
    "2-qubit gates, 2-qubit depth": "gates on two or more qubits, and how many of them stand on "
    "the longest path; they make most of the errors",
    "success": "probability that no gate, idling or readout error happens in one execution",
    "duration": "from the first gate to the end of the readout",
    "swaps": "added because qubits are not neighbours, counted before they merge with other gates",
    "weights without effect": "weights that no output depends on: every derivative is zero",
    "rank, redundant weights": "directions in weight space that change the circuit as a function, "
    "and how many weights there are beyond them",
    "gradient variance": "mean variance of the derivatives over random inputs and weights",
    "expressibility": "divergence of the reachable states from uniformly random ones; 0 is best",
    "entanglement": "mean Meyer-Wallach measure, 0 for product states to 1",
}


def page(report: Report) -> str:
    """Return the page."""
    content = report.content
    body = [
        f"<h1>{escape(_title(content))}</h1>",
        f'<p class="lead">{escape(headline(content))}</p>',
        *(f'<p class="remark">{escape(remark)}</p>' for remark in remarks(content)),
        _tiles(content),
        *_drawings(report),
        *(_table(each) for each in sections(content) if each.title not in _LEFT_OUT),
        _glossary(),
    ]
    style = files("qhybrid.report").joinpath("page.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Without an icon of its own a browser asks for one.
            '<link rel="icon" href="data:,">',
            f"<title>{escape(_title(content))}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body><main>",
            *(part for part in body if part),
            f'<p class="note">qhybrid {escape(content["qhybrid"])}</p>',
            "</main></body>",
            "</html>",
            "",
        ]
    )


def _title(content: Mapping[str, Any]) -> str:
    subject = content["subject"]
    return f"{subject['name']}: what it costs" if content["reports"] else str(subject["name"])


def _tiles(content: Mapping[str, Any]) -> str:
    tiles: list[tuple[str, str]] = []
    reports, model = content["reports"], content["model"]
    known = [each for each in reports if each["success_probability"] is not None]
    if known:
        best = max(known, key=lambda each: each["success_probability"])
        tiles.append((probability(best["success_probability"]), f"best success, {best['target']}"))
    if reports:
        least = min(reports, key=lambda each: each["two_qubit_gates"])
        where = f", {least['target']}" if least["target"] else ""
        tiles.append((f"{least['two_qubit_gates']:,}", f"two-qubit gates{where}"))
        health = reports[0]["health"]
        if health is not None:
            tiles.append(
                (f"{health['dead_weights']} of {health['weights']}", "weights without effect")
            )
    if model is not None:
        tiles.append((f"{model['circuits_per_step']}", "circuits a denoising step"))
        if model["sampling"] is not None:
            cost = model["sampling"]["qpu_seconds_per_image"]
            tiles.append((f"{cost:,.1f} s", "QPU time an image"))
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name in tiles
    )
    return f'<div class="tiles">{inner}</div>' if tiles else ""


def _drawings(report: Report) -> list[str]:
    """Return for each circuit its picture, its layouts and its charts."""
    content, parts = report.content, []
    devices = {device.name: device for device in report.devices}
    names = list(dict.fromkeys(each["circuit"] for each in content["reports"]))
    for name, use in zip(names, report.circuits.uses, strict=True):
        of_circuit = [each for each in content["reports"] if each["circuit"] == name]
        on_devices = [each for each in of_circuit if each["target"] is not None]
        parts.append(f"<h2>Circuit {escape(name)}</h2>")
        parts.append(_picture(use.variational, of_circuit[0]["health"]))
        for each in on_devices[:_MOST_DRAWN]:
            overview, detail = draw_layout(device_map(devices[each["target"]]), each)
            parts.append(_device_card(each, overview, detail))
        if len(on_devices) > _MOST_DRAWN:
            parts.append(
                f'<p class="note">The {_MOST_DRAWN} best of {len(on_devices)} devices are drawn; '
                "the table has all.</p>"
            )
        trend = (of_circuit[0]["health"] or {}).get("trend")
        if trend:
            charts = "".join(trend_charts(name, trend))
            parts.append(f'<div class="card"><div class="grid">{charts}</div></div>')
    return parts


def _picture(variational: Any, health: Mapping[str, Any] | None) -> str:
    dead = [] if health is None else health["dead_weight_indices"]
    cut = f"the first {MOST_GATES} gates; " if is_cut(variational.circuit) else ""
    in_gates = [i for i in dead if variational.circuit.has_parameter(variational.weights[i])]
    legend = [("input", "input"), ("weight", "weight")]
    if in_gates:
        legend.append(("dead", "weight without effect"))
    keys = "".join(f'<li><i class="k-{kind}"></i>{name}</li>' for kind, name in legend)
    missing = len(dead) - len(in_gates)
    note = f"{cut}time runs from left to right" + (
        f"; {missing} weights stand in no gate" if missing else ""
    )
    return (
        f'<div class="card"><div class="scroll">{draw_circuit(variational, dead)}</div>'
        f'<ul class="legend">{keys}</ul><p class="note">{note}</p></div>'
    )


def _device_card(report: Mapping[str, Any], overview: str, detail: str) -> str:
    fractional = ", fractional gates" if report["fractional"] else ""
    what = f"{report['circuit']} on {report['target']}{fractional}"
    charts = "".join(stock_charts(report))
    return (
        f'<section class="card"><h3>{escape(what)}</h3><div class="grid">{charts}</div>'
        f'<div class="layout"><figure><figcaption>{report["physical_qubits"]} of '
        f"{report['device_qubits']} qubits</figcaption>{overview}</figure>"
        "<figure><figcaption>where each qubit ends, and the device's numbers</figcaption>"
        f'<div class="scroll">{detail}</div></figure></div></section>'
    )


def _table(section: Section) -> str:
    head = "".join(
        f"<th{_class(section, index, False)}>{escape(heading)}</th>"
        for index, heading in enumerate(section.headings)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_class(section, index, len(cell) > 40)}>{escape(cell)}</td>"
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in section.rows
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in section.notes)
    return (
        f"<h2>{escape(section.title)}</h2>"
        f'<div class="card"><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{notes}</div>"
    )


def _class(section: Section, index: int, wide: bool) -> str:
    names: Sequence[str] = [
        name for name, holds in (("text", index in section.texts), ("wide", wide)) if holds
    ]
    return f' class="{" ".join(names)}"' if names else ""


def _glossary() -> str:
    terms = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _GLOSSARY.items()
    )
    return f"<details><summary>What the figures mean</summary><dl>{terms}</dl></details>"
