"""A report as tables of text, the same for terminals, Markdown and the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Figures that are compared with stock, and those of them that a ranking of many devices shows.
_COMPARED = {
    "two_qubit_gates": "2-qubit gates",
    "two_qubit_depth": "2-qubit depth",
    "duration_us": "duration, us",
    "success_probability": "success",
}
_IN_RANKINGS, _MANY = ("two_qubit_gates", "success_probability"), 8

#: What stands for figures of stock transpilation where it raises an error.
_FAILED = "fails"

#: What stands for a figure that a device's calibration does not give.
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: What it is about.
        headings: Of its columns; the first is text, the others are figures unless `texts` says so.
        rows: Its cells.
        notes: Lines below it.
        texts: Indices of columns that hold text.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: tuple[int, ...] = (0,)


def sections(content: Mapping[str, Any]) -> list[Section]:
    """Return the tables of a report, those that have rows."""
    reports = content["reports"]
    on_devices = [each for each in reports if each["target"] is not None]
    found = [
        _circuits(reports) if not on_devices else _devices(on_devices),
        _stock(on_devices),
        _gates(reports),
        _topologies(on_devices),
        _health(reports),
        _trend(reports),
        _model_health(content["model"]),
        _sampling(content["model"]),
        _skipped(content["skipped"]),
    ]
    return [section for section in found if section.rows]


def headline(content: Mapping[str, Any]) -> str:
    """Return one line on the subject."""
    subject, model = content["subject"], content["model"]
    settings = "".join(f", {key}={value}" for key, value in subject["settings"].items())
    name = subject["name"]
    if subject["kind"] == "run":
        name = f"{name} ({subject['model']})"
    parts = [f"{subject['kind']} {name}{settings}"]
    if subject["parameters"] is not None:
        parts.append(f"{subject['parameters']:,} parameters")
    if model is not None:
        circuits, rounds = model["circuits_per_step"], model["rounds_per_step"]
        parts.append(f"{circuits} circuits in {rounds} rounds a denoising step")
    if content["reports"]:
        parts.append(f"weights {subject['weights']}")
    return "; ".join(parts)


def remarks(content: Mapping[str, Any]) -> list[str]:
    """Return what a reader should not miss."""
    found = []
    for report in _one_each(content["reports"]):
        health = report["health"]
        if health is not None and health["dead_weights"]:
            found.append(_without_effect(report, "weights"))
        if health is not None and health["dead_inputs"]:
            found.append(_without_effect(report, "inputs"))
    model = content["model"]
    if model is not None and model["health"] is not None:
        dead, count = model["health"]["dead_weights"], model["health"]["weights"]
        if dead:
            found.append(
                f"{dead} of the model's {count} circuit weights have no effect on its output"
            )
        broken = model["health"]["parameters_without_gradient"]
        if broken:
            found.append(f"no gradient reaches {', '.join(broken[:3])}" + _more(broken, 3))
    if not content["reports"]:
        found.append("the model has no circuits: there is nothing to run on a device")
    elif all(report["target"] is None for report in content["reports"]):
        found.append("no device was named: add --target fake_fez to see what it costs there")
    return found


def shown(value: float | None, digits: int = 0, unit: str = "") -> str:
    """Return a figure as text; None is "not known", never 0."""
    if value is None:
        return NOT_KNOWN
    return f"{value:,.{digits}f}{unit}"


def probability(value: float | None) -> str:
    """Return a probability with as many digits as tell it from 0."""
    if value is None:
        return NOT_KNOWN
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def figure(key: str, value: float | None) -> str:
    """Return a figure that is compared with stock as text."""
    if key == "success_probability":
        return probability(value)
    return shown(value, 0 if isinstance(value, int) else 2)


def saved(ours: float, stock: float) -> str:
    """Return how much less one figure is than another, e.g. "-50 %"."""
    return "-" if not stock else f"{100 * (ours - stock) / stock:+.0f} %"


def _without_effect(report: Mapping[str, Any], what: str) -> str:
    dead, count = report["health"][f"dead_{what}"], report["health"][what]
    return f"{dead} of the {count} {what} of {report['circuit']} have no effect on any output"


def _one_each(reports: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the first report of each circuit: health does not depend on the device."""
    return list({report["circuit"]: report for report in reversed(reports)}.values())[::-1]


def _more(items: Sequence[Any], listed: int) -> str:
    return f" and {len(items) - listed} more" if len(items) > listed else ""


def _times(report: Mapping[str, Any]) -> str:
    """Return the circuit's name, with how many a denoising step evaluates."""
    count = report["circuits"]
    return report["circuit"] if count == 1 else f"{count} x {report['circuit']}"


def _circuits(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        (
            _times(report),
            str(report["logical_qubits"]),
            str(report["two_qubit_gates"]),
            str(report["two_qubit_depth"]),
            str(report["depth"]),
        )
        for report in reports
    ]
    headings = ("circuit", "qubits", "2-qubit gates", "2-qubit depth", "depth")
    return Section("Circuits as they are written", headings, tuple(rows))


def _devices(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        (
            _times(report),
            report["target"] + (" fractional" if report["fractional"] else ""),
            f"{report['logical_qubits']} on {report['physical_qubits']} of "
            f"{report['device_qubits']}",
            str(report["two_qubit_gates"]),
            str(report["two_qubit_depth"]),
            str(report["depth"]),
            shown(report["swaps"]),
            shown(report["duration_us"], 2, " us"),
            probability(report["success_probability"]),
        )
        for report in reports
    ]
    headings = (
        "circuit",
        "target",
        "qubits",
        "2-qubit gates",
        "2-qubit depth",
        "depth",
        "swaps",
        "duration",
        "success",
    )
    return Section("Circuits on devices", headings, tuple(rows), texts=(0, 1, 2))


def _stock(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = []
    compared = _COMPARED if len(reports) <= _MANY else {k: _COMPARED[k] for k in _IN_RANKINGS}
    for report in reports:
        stock, bound = report["stock"], report["stock_bound"]
        for key, name in compared.items():
            ours, theirs = report[key], None if stock is None else stock[key]
            change = None if ours is None or theirs is None else saved(ours, theirs)
            rows.append(
                (
                    report["circuit"],
                    report["target"],
                    name,
                    figure(key, ours),
                    _FAILED if stock is None else figure(key, theirs),
                    _FAILED if bound is None else figure(key, bound[key]),
                    change or NOT_KNOWN,
                )
            )
    headings = ("circuit", "target", "figure", "ours", "stock", "stock, bound", "against stock")
    notes = (
        "stock: Qiskit's pass manager at level 3, best of 5 seeds, weights symbolic; "
        "bound: the same with the weights as numbers",
    )
    return Section("Against stock transpilation", headings, tuple(rows), notes, (0, 1, 2))


def _gates(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        (
            report["circuit"],
            report["target"] or "-",
            ", ".join(
                f"{count:,} {name}"
                for name, count in sorted(report["gate_counts"].items(), key=lambda g: -g[1])
            ),
        )
        for report in reports
    ]
    return Section("Gates", ("circuit", "target", "gates"), tuple(rows), texts=(0, 1, 2))


def _topologies(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        (
            report["circuit"],
            report["target"],
            variant["topology"],
            str(variant["two_qubit_gates"]),
            str(variant["two_qubit_depth"]),
            probability(variant["success_probability"]),
            f"{variant['two_qubit_gates'] - report['two_qubit_gates']:+d}",
        )
        for report in reports
        for variant in report["topologies"]
    ]
    headings = (
        "circuit",
        "target",
        "topology",
        "2-qubit gates",
        "2-qubit depth",
        "success",
        "gates saved or added",
    )
    notes = ("other circuits with as many weights, to be trained as such: topology=NAME",)
    return Section("With other pairs of qubits", headings, tuple(rows), notes, (0, 1, 2))


def _health(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = []
    for report in _one_each(reports):
        health = report["health"]
        if health is not None:
            rows.append(
                (
                    report["circuit"],
                    f"{health['dead_weights']} of {health['weights']}",
                    f"{health['dead_inputs']} of {health['inputs']}",
                    _optional(health["rank"], 0),
                    _optional(health["redundant_weights"], 0),
                    _scientific(health["gradient_variance"]),
                    _optional(health["expressibility"], 3),
                    _optional(health["entangling_capability"], 3),
                )
            )
    headings = (
        "circuit",
        "weights without effect",
        "inputs without effect",
        "rank",
        "redundant weights",
        "gradient variance",
        "expressibility",
        "entanglement",
    )
    return Section("Health", headings, tuple(rows))


def _optional(value: float | None, digits: int) -> str:
    return "not computed" if value is None else f"{value:.{digits}f}"


def _scientific(value: float | None) -> str:
    return "not computed" if value is None else f"{value:.2e}"


def _trend(reports: Sequence[Mapping[str, Any]]) -> Section:
    rows = []
    for report in _one_each(reports):
        trend = (report["health"] or {}).get("trend")
        for key, name in (("qubits", "more qubits"), ("layers", "more layers")):
            points = trend[f"by_{key}"] if trend else []
            slope = trend[f"log2_per_{key[:-1]}"] if trend else None
            if points:
                listed = ", ".join(f"{each[key]}: {each['variance']:.1e}" for each in points)
                factor = "-" if slope is None else f"x {2**slope:.2f} each"
                rows.append((report["circuit"], name, listed, factor))
    headings = ("circuit", "with", "gradient variance", "trend")
    notes = ("a factor of 0.5 a qubit is a barren plateau, near 1 is none",)
    return Section("Gradients at other sizes", headings, tuple(rows), notes, (0, 1, 2))


def _model_health(model: Mapping[str, Any] | None) -> Section:
    health = None if model is None else model["health"]
    if health is None or not health["circuits"]:
        return Section("", (), ())
    broken = health["parameters_without_gradient"]
    rows = [
        ("circuit weights without effect", f"{health['dead_weights']} of {health['weights']}"),
        ("circuits without effect", f"{len(health['dead_circuits'])} of {health['circuits']}"),
        ("other parameters without gradient", ", ".join(broken[:5]) + _more(broken, 5) or "none"),
        ("what the circuits change in the output", f"{health['circuit_effect']:.2g} of its size"),
    ]
    return Section("The model as a whole", ("what", "how many"), tuple(rows), texts=(0, 1))


def _sampling(model: Mapping[str, Any] | None) -> Section:
    cost = None if model is None else model["sampling"]
    if model is None or cost is None:
        return Section("", (), ())
    stock = cost["stock"]
    figures = (
        ("executions an image", "executions_per_image", 1, ",.0f", ""),
        ("QPU seconds an image", "qpu_seconds_per_image", 1, ",.1f", ""),
        ("jobs in all", "jobs", 1, ",", ""),
        ("Open plan's month, all images", "open_plan_share", 100, ",.0f", " %"),
    )
    rows = [
        (name, *(f"{scale * each[key]:{form}}{unit}" for each in (cost, stock)))
        for name, key, scale, form, unit in figures
    ]
    notes = (
        f"{cost['sampler']}, {cost['steps']} steps, {cost['shots']:,} shots, {cost['num_images']} "
        f"images together; {model['circuits_per_step']} circuits in {model['rounds_per_step']} "
        "rounds a step; estimates",
    )
    return Section("Drawing images on a QPU", ("figure", "ours", "stock"), tuple(rows), notes)


def _skipped(skipped: Sequence[Mapping[str, str]]) -> Section:
    rows = [(each["target"], each["reason"]) for each in skipped]
    return Section("Left out", ("target", "why"), tuple(rows), texts=(0, 1))
