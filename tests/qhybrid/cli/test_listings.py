import json
import time
from pathlib import Path

import pytest

from qhybrid.cli import main
from qhybrid.models.rows import MODEL_NAMES


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)


def test_backends_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["statevector"]["exact"]
    assert rows["statevector"]["gradients"][0] == "adjoint"
    fez = rows["fake_fez"]
    assert (fez["qubits"], fez["usable"], fez["exact"]) == (156, True, False)
    assert 0.001 < fez["two_qubit_error"] < 0.01
    assert not rows["ibm"]["usable"]
    assert "ibm_brisbane was retired on 2025-11-03" in rows["fake_brisbane"]["note"]


@pytest.mark.parametrize("output_format", ["table", "md"])
def test_backends_for_people(output_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--format", output_format]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if line.replace("|", " ").split()[0] == "fake_fez")
    assert "156" in row
    assert "0.0038" in row


def test_models_say_how_many_circuit_weights_act(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--format", "md"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    column = lines[0].index("weights with effect")
    acting = {line[0].strip("| "): line[column] for line in lines[2:]}
    assert acting["qattention-unet"] == "48"
    assert acting["1hqconv-qvunet"] == str(4 * 84)
    assert acting["light-unet"] == acting["qattention-unet-control"] == "0"


def test_the_listing_does_not_wait_for_anything(capsys: pytest.CaptureFixture[str]) -> None:
    main(["backends"])
    began = time.perf_counter()
    main(["backends"])
    assert time.perf_counter() - began < 0.5


def test_models_as_json_have_the_promised_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == list(MODEL_NAMES)
    promised = {"name", "paper", "parameters", "qubits", "circuits_per_step", "dead_weights"}
    assert all(promised <= entry.keys() for entry in listed)
    assert listed[0]["parameters"] == 483_321


@pytest.mark.parametrize("command", ["models", "datasets", "backends"])
@pytest.mark.parametrize("output_format", ["table", "md"])
def test_lists_have_a_line_an_entry(
    command: str, output_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--format", "json"]) == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert main([command, "--format", output_format]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [line.strip("| ").split()[0] for line in lines[-len(names) :]]
    assert cells == names


@pytest.mark.parametrize("command", ["models", "configs", "datasets", "backends"])
def test_a_terminal_of_80_columns_gets_whole_cells_and_learns_what_is_left_out(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--format", "json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main([command]) == 0
    printed, said = capsys.readouterr()
    assert max(map(len, printed.splitlines())) <= 80
    for entry in entries:
        assert any(line.startswith(f"{entry['name']}  ") for line in printed.splitlines())
    assert "\u2026" not in printed  # the mark of what was cut
    headings = printed[: printed.index(entries[0]["name"])]
    assert ("note" if command == "backends" else "summary") in headings
    for column in entries[0].keys() & {"paper", "parameters", "gradients", "epochs"}:
        assert (column in headings) != (column in said)


def test_a_narrow_terminal_leaves_nothing_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["datasets"]) == 0
    printed = capsys.readouterr().out
    assert "handwritten" in printed
    assert "summary" in printed


def test_the_number_of_classes_is_headed_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "--format", "md"]) == 0
    assert "| channels | classes |" in capsys.readouterr().out
