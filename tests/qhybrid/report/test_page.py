"""The page's templates: they are found wherever the package is, and escape what they are given."""

import re
from copy import deepcopy
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from qiskit.circuit import Gate, Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qhybrid.report.build import Report
from qhybrid.report.markup import environment, fill
from qhybrid.report.render import render
from qhybrid_circuits.variational import VariationalCircuit

ROOT = Path(__file__).parents[3]
TEMPLATES = {path.name for path in (ROOT / "qhybrid" / "report" / "templates").iterdir()}

HOSTILE = "\"'><script>alert(1)</script>&"


def hostile(report: Report) -> Report:
    """Return a report in which everything that has a name has a hostile one."""
    content = deepcopy(report.content)
    content["qhybrid"] = HOSTILE
    names = {"kind": "run", "name": HOSTILE, "model": HOSTILE, "settings": {HOSTILE: HOSTILE}}
    content["subject"].update(names)
    content["skipped"] = [{"target": HOSTILE, "reason": HOSTILE}]
    content["model"]["health"]["parameters_without_gradient"] = [HOSTILE]
    content["model"]["sampling"]["sampler"] = HOSTILE
    each = content["reports"][0]
    each.update({"circuit": HOSTILE, "target": HOSTILE, "gate_counts": {HOSTILE: 1}})
    each["topologies"] = [{**each, "topology": HOSTILE}]
    each["health"]["dead_weight_indices"] = [0]
    content["reports"] = [each]
    circuit = QuantumCircuit(1)
    weight = Parameter(HOSTILE)
    circuit.append(Gate(HOSTILE, 1, [weight]), [0])
    variational = VariationalCircuit(HOSTILE, circuit, (), (weight,), (SparsePauliOp("Z"),))
    use = replace(report.circuits.uses[0], variational=variational)
    device = replace(report.devices[0], name=HOSTILE)
    return Report(content, replace(report.circuits, uses=(use,)), (device,))


def test_hostile_names_are_escaped(model_report: Report) -> None:
    page = render(hostile(model_report), "html")
    assert "<script" not in page.lower()
    values = re.findall(r'="([^"]*)"', page)
    texts = re.findall(r">([^<>]*)<", page)
    assert f"circuit {HOSTILE}" in map(unescape, values)
    assert f"qubits of {HOSTILE} on {HOSTILE}" in map(unescape, values)
    shown = [unescape(text).strip() for text in texts]
    for text in (
        f"{HOSTILE}: what it costs",
        f"Circuit {HOSTILE}",
        f"{HOSTILE} on {HOSTILE}",
        f"best success, {HOSTILE}",
        f"no gradient reaches {HOSTILE}",
        f"1 {HOSTILE}",
        HOSTILE,
    ):
        assert text in shown
    # Escaped once, not twice.
    assert "&amp;amp;" not in page
    assert "&amp;lt;" not in page


def test_a_circuit_that_no_target_holds_is_left_out(model_report: Report) -> None:
    content = deepcopy(model_report.content)
    use = model_report.circuits.uses[0]
    second = f"{use.variational.name}-2"
    content["reports"] = [{**each, "circuit": second} for each in content["reports"]]
    circuits = replace(model_report.circuits, uses=(use, use))
    page = render(Report(content, circuits, model_report.devices), "html")
    assert f"Circuit {second}" in page
    assert f"Circuit {use.variational.name}-1" not in page


def test_the_package_loader_finds_every_template() -> None:
    assert {"page.html", "style.css", "circuit.svg", "map.svg"} <= TEMPLATES
    assert set(environment().list_templates()) == TEMPLATES
    for name in TEMPLATES:
        environment().get_template(name)


def test_colours_that_name_models_can_be_read_on_white() -> None:
    """A contrast of 4.5 at least, as WCAG 2.2 defines and asks for it (success criterion 1.4.3)."""
    style = (ROOT / "qhybrid" / "report" / "templates" / "style.css").read_text("utf-8")
    colours = re.findall(r"--own: #(\w{6})", style)
    assert len(colours) == 6
    for colour in colours:
        channels = np.array([*bytes.fromhex(colour)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5, colour


def test_a_wheel_holds_every_template() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    files = wheel.WheelBuilder(str(ROOT)).recurse_included_files()
    held = {Path(file.distribution_path) for file in files}
    assert {Path("qhybrid/report/templates") / name for name in TEMPLATES} <= held


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="name"):
        fill("circuit.svg", wires=1, columns=1, gates=[])
