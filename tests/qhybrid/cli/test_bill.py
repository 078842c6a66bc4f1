"""`qhybrid bill`: the cost of circuits that are not qhybrid's."""

from pathlib import Path

import pytest
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.circuit import Parameter

from qhybrid.circuit_bill import circuit_bill, read_circuits
from qhybrid.cli.main import main

DEVICE = ["--backend", "fake_manila"]


def ghz() -> QuantumCircuit:
    circuit = QuantumCircuit(3, name="ghz")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    return circuit


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    turned = QuantumCircuit(2, name="turned")
    turned.ry(Parameter("a"), 0)
    turned.cx(0, 1)
    with open(tmp_path / "two.qpy", "wb") as file:
        qpy.dump([ghz(), turned], file)
    qasm2.dump(ghz().measure_all(inplace=False), tmp_path / "two.qasm")
    (tmp_path / "three.qasm").write_text(qasm3.dumps(ghz()))
    return [tmp_path / name for name in ("two.qpy", "two.qasm", "three.qasm")]


def test_circuits_of_files_are_one_job(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [c.name for c in read_circuits(files)] == ["ghz", "turned", "two", "three"]
    assert main(["bill", *map(str, files[:1]), *DEVICE, "--shots", "1000", "--sets", "3"]) == 0
    said = capsys.readouterr().out
    # One set of the circuit without parameters, three of the other, and a calibration: the client
    # makes 1,024 shots of 1,000.
    assert "1 job, 2 PUBs, 5,120 executions, about 3.8 QPU seconds" in said
    assert "by stock classes: 5 PUBs" in said
    assert "ghz           3      " in said
    assert main(["bill", str(files[1]), *DEVICE, "--shots", "1000"]) == 0
    said = capsys.readouterr().out
    # Measured circuits are sampled.
    assert "sampler, 1,000 shots: 1 job, 1 PUBs, 1,000 executions, about 2.4 QPU" in said


def test_observables_in_two_bases_take_two_executions() -> None:
    settings = {"shots": 64, "resilience_level": 0}
    one = circuit_bill([ghz()], "fake_manila", observables="ZZI,IZZ", **settings)
    two = circuit_bill([ghz()], "fake_manila", observables="ZZI,XXX", **settings)
    assert (one.quote.bill.executions, two.quote.bill.executions) == (64, 128)
    assert one.circuits[0].two_qubit_gates == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--observables", "ZZ"], "--observables has 'ZZ', but must have strings of I, X, Y and Z"),
        (["--shots", "0"], "`shots` must be a whole number from 1"),
        (["--backend", "aer"], "the backend 'aer' computes exactly, .* costs nothing; use `fake_"),
        (["--backend", "fake_manla"], "did you mean fake_manila"),
        (["--sets", "0"], "--sets must be 1 to"),
        (["--pack", "none"], "--pack must be auto or a whole number"),
        (["no-such-file"], "the circuits of '.*no-such-file' cannot be read"),
        ([__file__], "the circuits of '.*test_bill.py' cannot be read"),
    ],
)
def test_wrong_requests_are_one_line(
    more: list[str], message: str, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert main(["bill", str(files[2]), *DEVICE, *more]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
