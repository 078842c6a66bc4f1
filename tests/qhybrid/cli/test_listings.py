import json
import time
from pathlib import Path

import pytest

from qhybrid.cli import main


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
