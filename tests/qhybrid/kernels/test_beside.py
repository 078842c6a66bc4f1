"""The process that compiles kernels while another one loads its libraries."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qhybrid.interpreter import module_command
from qhybrid.kernels import beside
from qhybrid.kernels.beside import CIRCUITS, IMAGES, compiled_beside, needed, record_file
from qhybrid.models.rows import MODELS
from tests.children import can_tell, children_of

STARTS = """
import os, signal, sys, time
from qhybrid.kernels import beside
from qhybrid.kernels.beside import compiled_beside
beside.processors = lambda: 2
assert "torch" not in sys.modules
with compiled_beside(["circuits"]):
    {}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What processes are started for; torch is not loaded, and nothing is kept yet."""
    found: list[list[str]] = []
    monkeypatch.setattr(beside, "processors", lambda: 2)
    monkeypatch.setattr(beside, "_started", lambda kinds: found.append(kinds))
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("QHYBRID_CACHE_DIR", str(tmp_path / "cache"))
    return found


def record(kind: str, kernels: Path) -> None:
    """Say that kernels were compiled to a folder."""
    file = record_file(kind)
    assert file is not None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(str(kernels))


@pytest.mark.parametrize(
    ("model", "image_size", "device", "backend", "kinds"),
    [
        ("1hqconv-qvunet", 8, "auto", "aer", [CIRCUITS]),
        ("1hqconv-qvunet", 28, "cpu", "statevector", [CIRCUITS, IMAGES]),
        ("1hqconv-qvunet", 16, "cpu", "fake_fez", [IMAGES]),
        ("1hqconv-qvunet", 28, "cuda", "statevector", []),
        ("unet", 8, "auto", "statevector", []),
        ("unet", 28, "auto", "statevector", [IMAGES]),
        ("qlatent", 28, "auto", "statevector", [CIRCUITS]),
        ("qreverse", None, "auto", "statevector", [CIRCUITS]),
    ],
)
def test_kernels_are_for_the_model_and_where_it_runs(
    model: str, image_size: int | None, device: str, backend: str, kinds: list[str]
) -> None:
    assert needed(MODELS[model], image_size, device, backend) == kinds


def test_what_is_compiled_already_is_not_compiled_again(
    started: list[list[str]], tmp_path: Path
) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (kernels / "tasks.run_values-1.py311.nbi").touch()
    for kinds in ([CIRCUITS, IMAGES], [IMAGES], []):
        with compiled_beside(kinds):
            pass
    record(CIRCUITS, kernels)
    with compiled_beside([CIRCUITS, IMAGES]):
        pass
    record(IMAGES, kernels)
    with compiled_beside([CIRCUITS, IMAGES]):
        pass
    assert started == [[CIRCUITS, IMAGES], [IMAGES], [IMAGES]]


def test_kernels_that_were_removed_or_are_of_other_sources_are_compiled(
    started: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernel.nbi").touch()
    record(CIRCUITS, tmp_path / "removed")
    with compiled_beside([CIRCUITS]):
        pass
    record(CIRCUITS, tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "other"))
    with compiled_beside([CIRCUITS]):
        pass
    assert started == [[CIRCUITS], [CIRCUITS]]


def test_nothing_is_started_where_it_gains_nothing(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(beside, "cache_directory", lambda kind: None)
        with compiled_beside([CIRCUITS]):
            pass
    with monkeypatch.context() as patch:
        patch.setattr(beside, "processors", lambda: 1)
        with compiled_beside([CIRCUITS]):
            pass
    monkeypatch.setitem(sys.modules, "torch", object())
    with compiled_beside([CIRCUITS]):
        pass
    assert not started


def test_a_program_that_has_no_python_to_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(beside, "processors", lambda: 2)
    monkeypatch.setattr(beside, "_is_there", lambda kind: False)
    for executable in ("", "/nothing/here"):
        monkeypatch.setattr(sys, "executable", executable)
        with compiled_beside([CIRCUITS]):
            pass
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it would start itself"))
    monkeypatch.setattr(sys, "executable", "/a/frozen/program")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with compiled_beside([CIRCUITS]):
        pass
    monkeypatch.delattr(sys, "frozen")
    monkeypatch.setenv("QHYBRID_COMPILES_KERNELS", "1")
    with compiled_beside([CIRCUITS]):
        pass


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_tell(), reason="/proc has no children")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_it_ends_with_the_process_that_started_it(end: int | None, tmp_path: Path) -> None:
    """However that ends: killed, interrupted, or having done its work."""
    body = "print(flush=True); sys.stdin.read()"
    environment = {**os.environ, "QHYBRID_CACHE_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS.format(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    (child,) = children_of(process.pid)
    assert is_alive(child)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does
    elif end is not None:
        process.send_signal(end)
    process.communicate()
    until = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(child)
    assert not list(tmp_path.rglob("circuits-????????????????"))


def test_it_compiles_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QHYBRID_CACHE_DIR", str(tmp_path))
    environment = {**os.environ, "QHYBRID_CACHE_DIR": str(tmp_path)}
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", os.getcwd())])
    here = tmp_path / "here"
    here.mkdir()
    (here / "random.py").write_text("raise SystemExit('this is not the random module')")
    command = module_command("qhybrid.kernels", CIRCUITS, IMAGES)
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd=here) as process:
        assert process.wait() == 0
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(beside, "processors", lambda: 2)
    monkeypatch.setattr(beside, "_started", lambda kinds: pytest.fail("they are compiled"))
    with compiled_beside([CIRCUITS, IMAGES]):
        pass
    assert len(list((tmp_path / "kernels").iterdir())) == 2
