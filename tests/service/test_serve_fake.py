"""`qhybrid serve-fake` as a process of its own, for clients in others."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from qiskit_ibm_runtime import QiskitRuntimeService

from qhybrid.cli.main import main


def test_a_shell_reads_where_the_service_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qhybrid", "serve-fake", "fake_manila", "fake_lima"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert "serving ibm_manila, ibm_lima at http://127.0.0.1:" in process.stderr.readline()
        monkeypatch.setenv("HOME", str(tmp_path))
        for _ in range(9):
            (line,) = re.findall(r"export (.*)\n", process.stdout.readline())
            name, _, value = shlex.split(line)[0].partition("=")
            monkeypatch.setenv(name, value)
        names = {backend.name for backend in QiskitRuntimeService().backends()}
        assert names == {"ibm_manila", "ibm_lima"}
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert said == "ran 0 jobs of 0, 0 QPU seconds\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fake_manla"], "unknown fake device 'fake_manla'; did you mean fake_manila"),
        (["fake_lima", "--port", "70000"], "cannot listen at port 70000"),
        ([], "Missing argument 'NAME...'"),
        (["fake_lima", "--plan", "gold"], "'gold' is not one of 'open', 'premium'"),
    ],
)
def test_wrong_requests_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve-fake", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
