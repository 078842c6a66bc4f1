"""A report as tables of text, the same for terminals, Markdown and the page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from qhybrid.influence import Figures, percent
from qhybrid.words import counted

Reports = Sequence[Mapping[str, Any]]

#: Figures that are compared with stock, and those of them that a ranking of many devices shows.
_COMPARED = {
    "two_qubit_gates": "2-qubit gates",
    "two_qubit_depth": "2-qubit depth",
    "duration_us": "duration, us",
    "success_probability": "success",
}
_IN_RANKINGS, _MANY = ("two_qubit_gates", "success_probability"), 8

#: What stands for a figure that a device's calibration does not give.
NOT_KNOWN = "not known"


#: What stands for a figure of an influence that was not measured.
NOT_MEASURED = "-"

#: Ways to change circuits, in words.
_WAYS = {
    "mean": "their mean over the images",
    "shuffled": "those of other images",
    "random": "those by random weights",
    "zero": "zero",
}


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: What it is about.
        headings: Of its columns.
        rows: Its cells.
        texts: How many columns, from the first, hold text; the others hold figures.
        notes: Lines below it.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    notes: tuple[str, ...] = ()


#: What a cell holds of its row, by its column's heading.
_Columns = Mapping[str, Callable[[Any], object]]

_CIRCUIT: _Columns = {"circuit": itemgetter("circuit")}
_PLACE: _Columns = {**_CIRCUIT, "target": lambda row: row["target"] or "-"}
_TWO_QUBIT: _Columns = {
    "2-qubit gates": itemgetter("two_qubit_gates"),
    "2-qubit depth": itemgetter("two_qubit_depth"),
}
_SUCCESS: _Columns = {"success": lambda row: probability(row["success_probability"])}


def _table(
    title: str, rows: Iterable[Any], columns: _Columns, texts: int = 1, *notes: str
) -> Section:
    cells = tuple(tuple(str(cell(row)) for cell in columns.values()) for row in rows)
    return Section(title, tuple(columns), cells, texts, notes)


def sections(content: Mapping[str, Any]) -> list[Section]:
    """Return the tables of a report, those that have rows."""
    reports = content["reports"]
    on_devices = [each for each in reports if each["target"] is not None]
    found = [
        _devices(on_devices) if on_devices else _circuits(reports),
        _stock(on_devices),
        _gates(reports),
        _topologies(on_devices),
        _health(reports),
        _trend(reports),
    ]
    model = content["model"] or {"health": None, "influence": None, "sampling": None}
    if model["health"] and model["health"]["circuits"]:
        found.append(_model_health(model["health"]))
    if model["influence"]:
        found.append(_influence(model["influence"], model["influence_measured_on"]))
    if model["sampling"] and on_devices:
        found.append(_sampling(model, model["sampling"]))
    skipped = {"target": itemgetter("target"), "why": itemgetter("reason")}
    found.append(_table("Left out", content["skipped"], skipped, 2))
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
        both = f"{counted(circuits, 'circuit')} in {counted(rounds, 'round')}"
        parts.append(f"{both} per denoising step")
    if content["reports"]:
        parts.append(f"weights {subject['weights']}")
    return "; ".join(parts)


def shown(value: float | None, digits: int = 0, unit: str = "") -> str:
    """Return a figure as text; None is "not known", never 0."""
    return NOT_KNOWN if value is None else f"{value:,.{digits}f}{unit}"


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


def saved(ours: float | None, stock: float | None) -> str:
    """Return how much less one figure is than another, e.g. "-50 %"."""
    if ours is None or stock is None:
        return NOT_KNOWN
    return f"{100 * (ours - stock) / stock:+.0f} %" if stock else "-"


def examined(reports: Reports) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each circuit that was examined with its health, which no device changes."""
    found = {each["circuit"]: each["health"] for each in reports}
    return [(circuit, health) for circuit, health in found.items() if health is not None]


def more(items: Sequence[Any], listed: int) -> str:
    """Return how many items there are beyond those that are listed."""
    return f" and {len(items) - listed} more" if len(items) > listed else ""


def _times(report: Mapping[str, Any]) -> str:
    """Return the circuit's name, with how many a denoising step evaluates."""
    count, name = report["circuits"], str(report["circuit"])
    return name if count == 1 else f"{count} x {name}"


def _circuits(reports: Reports) -> Section:
    columns: _Columns = {
        "circuit": _times,
        "qubits": itemgetter("logical_qubits"),
        **_TWO_QUBIT,
        "depth": itemgetter("depth"),
    }
    return _table("Circuits as they are written", reports, columns)


def _devices(reports: Reports) -> Section:
    columns: _Columns = {
        "circuit": _times,
        "target": lambda row: row["target"] + " fractional" * row["fractional"],
        "qubits": "{0[logical_qubits]} on {0[physical_qubits]} of {0[device_qubits]}".format,
        **_TWO_QUBIT,
        "depth": itemgetter("depth"),
        "swaps": lambda row: shown(row["swaps"]),
        "duration": lambda row: shown(row["duration_us"], 2, " us"),
        **_SUCCESS,
    }
    return _table("Circuits on QPUs", reports, columns, 3)


def _stock(reports: Reports) -> Section:
    rows = tuple(
        (
            report["circuit"],
            report["target"],
            _COMPARED[key],
            figure(key, report[key]),
            _theirs(key, report["stock"]),
            _theirs(key, report["stock_bound"]),
            saved(report[key], (report["stock"] or {}).get(key)),
        )
        for report in reports
        for key in (_COMPARED if len(reports) <= _MANY else _IN_RANKINGS)
    )
    headings = ("circuit", "target", "figure", "ours", "stock", "stock, bound", "against stock")
    note = (
        "stock: Qiskit's pass manager at level 3, best of 5 seeds, weights symbolic; "
        "bound: the same with the weights as numbers"
    )
    return Section("Against stock transpilation", headings, rows, 3, (note,))


def _theirs(key: str, figures: Mapping[str, Any] | None) -> str:
    # Stock transpilation may raise an error.
    return "fails" if figures is None else figure(key, figures[key])


def _gates(reports: Reports) -> Section:
    def listed(row: Mapping[str, Any]) -> str:
        counts = sorted(row["gate_counts"].items(), key=lambda gate: -gate[1])
        return ", ".join(f"{count:,} {name}" for name, count in counts)

    return _table("Gates", reports, {**_PLACE, "gates": listed}, 3)


def _topologies(reports: Reports) -> Section:
    rows = [
        {**report, **variant, "change": variant["two_qubit_gates"] - report["two_qubit_gates"]}
        for report in reports
        for variant in report["topologies"]
    ]
    columns: _Columns = {
        **_PLACE,
        "topology": itemgetter("topology"),
        **_TWO_QUBIT,
        **_SUCCESS,
        "gates saved or added": "{0[change]:+d}".format,
    }
    note = "other circuits with as many weights, to be trained as such: --set model.topology=NAME"
    return _table("With other pairs of qubits", rows, columns, 3, note)


def _health(reports: Reports) -> Section:
    def computed(key: str, form: str) -> Callable[[Any], str]:
        return lambda row: "not computed" if row[key] is None else f"{row[key]:{form}}"

    columns = {
        **_CIRCUIT,
        "weights without effect": "{0[dead_weights]} of {0[weights]}".format,
        "inputs without effect": "{0[dead_inputs]} of {0[inputs]}".format,
        "rank": computed("rank", ".0f"),
        "redundant weights": computed("redundant_weights", ".0f"),
        "gradient variance": computed("gradient_variance", ".2e"),
        "expressibility": computed("expressibility", ".3f"),
        "entanglement": computed("entangling_capability", ".3f"),
    }
    rows = [{"circuit": circuit, **health} for circuit, health in examined(reports)]
    return _table("Health", rows, columns)


def _trend(reports: Reports) -> Section:
    rows = []
    for circuit, health in examined(reports):
        trend = health["trend"] or {"by_qubits": (), "by_layers": ()}
        for size in ("qubit", "layer"):
            points = trend[f"by_{size}s"]
            if points:
                listed = ", ".join(f"{each[f'{size}s']}: {each['variance']:.1e}" for each in points)
                slope = trend[f"log2_per_{size}"]
                factor = "-" if slope is None else f"x {2**slope:.2f} each"
                rows.append((circuit, f"more {size}s", listed, factor))
    headings = ("circuit", "with", "gradient variance", "trend")
    note = "a factor of 0.5 a qubit is a barren plateau, near 1 is none"
    return Section("Gradients at other sizes", headings, tuple(rows), 3, (note,))


def _model_health(health: Mapping[str, Any]) -> Section:
    broken = health["parameters_without_gradient"]
    rows = (
        ("circuit weights without effect", f"{health['dead_weights']} of {health['weights']}"),
        ("circuits without effect", f"{len(health['dead_circuits'])} of {health['circuits']}"),
        ("other parameters without gradient", ", ".join(broken[:5]) + more(broken, 5) or "none"),
        ("what the circuits change in the output", f"{health['circuit_effect']:.2g} of its size"),
    )
    return Section("The model as a whole", ("what", "how many"), rows, 2)


def _influence(found: Figures, measured_on: str) -> Section:
    def cell(value: float | None, form: Callable[[float], str]) -> str:
        return NOT_MEASURED if value is None else form(value)

    rows = tuple(
        (
            _WAYS[way],
            cell(change["output"], "{:.2g} of its size".format),
            cell(change["loss"], percent),
            cell(change.get("samples"), "{:.2g} of their size".format),
        )
        for way, change in found.items()
    )
    headings = ("circuits set to", "change of the output", "of the loss", "of samples")
    return Section("Influence", headings, rows, 1, (f"measured on {measured_on}",))


def _sampling(model: Mapping[str, Any], cost: Mapping[str, Any]) -> Section:
    figures: Mapping[str, Callable[[Any], str]] = {
        "executions per image": "{0[executions_per_image]:,.0f}".format,
        "QPU seconds per image": "{0[qpu_seconds_per_image]:,.1f}".format,
        "jobs in all": "{0[jobs]:,}".format,
        "Open plan's month, all images": lambda bill: f"{100 * bill['open_plan_share']:,.0f} %",
    }
    bills = (cost, cost["stock"])
    rows = tuple((name, *map(written, bills)) for name, written in figures.items())
    note = (
        f"{cost['sampler']}, {cost['steps']} steps, {cost['shots']:,} shots, {cost['num_images']} "
        f"images together; {counted(model['circuits_per_step'], 'circuit')} in "
        f"{counted(model['rounds_per_step'], 'round')} per step; estimates"
    )
    return Section("Drawing images on a QPU", ("figure", "ours", "stock"), rows, 1, (note,))
