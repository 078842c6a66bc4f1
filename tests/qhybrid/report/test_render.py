import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from qhybrid.cli import main
from qhybrid.report.build import Report
from qhybrid.report.circuit_drawing import draw_circuit
from qhybrid.report.device_map import device_map, lay_out
from qhybrid.report.devices import find_devices
from qhybrid.report.remarks import remarks
from qhybrid.report.render import render
from qhybrid.report.sections import probability, saved, sections, shown
from qhybrid_circuits import build_ansatz

TARGETS = ["--target", "fake_nighthawk", "--target", "fake_berlin"]


def test_what_is_not_known_is_said_so() -> None:
    assert shown(None) == probability(None) == "not known"
    assert (probability(0.4139), probability(0.00021)) == ("0.414", "0.0002")
    assert (saved(84, 168), saved(3, 0)) == ("-50 %", "-")


def test_a_table_has_every_section(model_report: Report) -> None:
    text = render(model_report, "table")
    for section in sections(model_report.content):
        assert section.title in text
        assert all(len(row) == len(section.headings) for row in section.rows)
    assert "0 of 84" in text
    assert "168" in text
    assert all(len(line) <= 80 for line in render(model_report, "table", 80).splitlines())


def test_markdown_tables_are_whole(model_report: Report) -> None:
    lines = render(model_report, "md").splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) > 20
    for section in sections(model_report.content):
        head = lines.index(f"## {section.title}") + 2
        widths = {line.count(" | ") for line in lines[head : head + 2 + len(section.rows)]}
        assert widths == {len(section.headings) - 1}


def test_json_is_the_content(model_report: Report) -> None:
    assert json.loads(render(model_report, "json")) == model_report.content


def test_dead_weights_are_the_first_thing_that_is_said(released_report: Report) -> None:
    for output_format in ("table", "md", "html"):
        text = render(released_report, output_format)
        assert "48 of the 54 weights of hqconv have no effect on any output" in text
    assert "48 weights stand in no gate" in render(released_report, "html")


def test_hints_are_no_findings_and_a_bill_needs_a_device(model_report: Report) -> None:
    where = [{**each, "target": None} for each in model_report.content["reports"]]
    plain = replace(model_report, content={**model_report.content, "reports": where}, devices=())
    assert plain.content["model"]["sampling"] is not None
    for report, billed in ((model_report, True), (plain, False)):
        table, page = render(report, "table"), render(report, "html")
        assert ("Drawing images on a QPU" in table) is ("Drawing images" in page) is billed
        assert ("QPU time per image" in page) is billed
        assert ('<p class="hint">no device was named' in page) is not billed
        assert ("\nno device was named" in table) is not billed
        assert "no device was named" not in "".join(remarks(report.content))


def test_the_page_needs_nothing_but_itself(model_report: Report) -> None:
    page = render(model_report, "html")
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    links = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import', page)
    assert links == [("data:,", "")]
    namespaces = set(re.findall(r"https?://[^\"'\s<>]+", page))
    assert namespaces <= {"http://www.w3.org/2000/svg"}
    for report in model_report.content["reports"]:
        for figure in ("two_qubit_gates", "two_qubit_depth"):
            assert f">{report[figure]}<" in page
            assert f">{report['stock'][figure]}<" in page


def pictures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.S)]


def test_pictures_show_every_gate_and_qubit(model_report: Report) -> None:
    found = pictures(render(model_report, "html"))
    assert len(found) == 1 + 2 * 2
    svg = "{http://www.w3.org/2000/svg}"
    circuit = model_report.circuits.uses[0].variational.circuit
    gates = [g for g in found[0].iter(f"{svg}g") if "gate" in g.get("class", "")]
    assert len(gates) == len(circuit.data)
    for overview, detail, report in zip(
        found[1::2], found[2::2], model_report.content["reports"], strict=True
    ):
        assert len(list(overview.iter(f"{svg}circle"))) == report["device_qubits"]
        used = [g for g in detail.iter(f"{svg}g") if g.get("class") == "qubit used"]
        assert len(used) == report["physical_qubits"]
        titles = {g[0].text for g in used}
        ends = {f"qubit {p}, holds q{q} at the end" for q, p in enumerate(report["layout"])}
        assert titles == ends


def test_gates_without_effect_are_marked() -> None:
    variational = build_ansatz("basic_entangling", qubits=2, layers=1)
    drawing = draw_circuit(variational, dead_weights=[1])
    assert drawing.count('class="gate dead"') == 1
    assert "without effect" in drawing
    assert drawing.count('class="gate input"') == 2


@pytest.mark.parametrize(
    "name", ["fake_nighthawk", "fake_fez", "fake_torino", "fake_brisbane", "fake_hanoi"]
)
def test_qubits_are_drawn_apart_and_neighbours_near(name: str, cache: Path) -> None:
    (device,) = find_devices([name], 1, False)
    found = device_map(device)
    positions = found.positions
    steps = np.linalg.norm(
        [positions[first] - positions[second] for first, second in found.pairs], axis=1
    )
    between = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    assert between.min() > 0.6
    assert steps.max() < 1.6
    again = device_map(device)
    assert again.pairs == found.pairs
    np.testing.assert_allclose(again.positions, positions, atol=1e-3)


@pytest.mark.parametrize(
    ("qubits", "pairs"), [(1, []), (2, [(0, 1)]), (4, [(0, 2), (1, 3)]), (5, [])]
)
def test_small_and_unconnected_devices_have_a_layout(
    qubits: int, pairs: list[tuple[int, int]]
) -> None:
    positions = lay_out(qubits, pairs)
    assert positions.shape == (qubits, 2)
    assert np.isfinite(positions).all()
    assert len({tuple(each) for each in positions.round(3).tolist()}) == qubits


def test_the_command_prints_or_writes(
    model_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "1hqconv-qvunet", *TARGETS, "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["target"] for each in printed["reports"]] == ["fake_nighthawk", "fake_berlin"]
    page = tmp_path / "deep" / "report.html"
    arguments = ["report", "1hqconv-qvunet", *TARGETS, "--format", "html", "--out", str(page)]
    assert main(arguments) == 0
    assert str(page) in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == render(model_report, "html")


def test_a_second_report_needs_neither_torch_nor_the_client(model_report: Report) -> None:
    code = (
        "import sys; from qhybrid.cli import main; "
        f"assert main(['report', '1hqconv-qvunet', *{TARGETS!r}]) == 0; "
        "found = [m for m in ('torch', 'qiskit_ibm_runtime') if m in sys.modules]; "
        "print(found, file=sys.stderr)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert time.perf_counter() - began < 3


def test_a_notebook_shows_the_page_and_the_circuit(model_report: Report) -> None:
    from html import unescape

    from qhybrid.report.page import page

    framed = model_report._repr_html_()
    assert unescape(framed.split('srcdoc="')[1].split('" width')[0]) == page(model_report)
    drawn = build_ansatz("hqconv", channels=1, layers=1)._repr_html_()
    assert "Rx(x[0])" in unescape(drawn)
