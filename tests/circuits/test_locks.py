"""Locks, between processes that share a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qhybrid_circuits.locks import one_at_a_time

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

HOLDER = """
import sys
from pathlib import Path
from qhybrid_circuits.locks import one_at_a_time
with one_at_a_time(Path(sys.argv[1]), 0) as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys
from pathlib import Path
from qhybrid_circuits.locks import one_at_a_time
folder = Path(sys.argv[1])
for _ in range(40):
    with one_at_a_time(folder / "lock", 60) as alone:
        assert alone
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    """Start a process that has the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_another_process_is_waited_for_and_no_file_stays(tmp_path: Path) -> None:
    process, waited = holder(tmp_path / "lock"), []

    def go_on() -> None:
        assert process.stdin is not None
        waited.append(True)
        process.stdin.close()

    with one_at_a_time(tmp_path / "lock", 60, go_on) as alone:
        assert alone
        assert process.wait() == 0
        assert (tmp_path / "lock").exists()
    assert waited == [True]
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_killed_has_no_lock(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "lock").exists()
    with one_at_a_time(tmp_path / "lock", 0, lambda: pytest.fail("nobody has it")) as alone:
        assert alone
    assert not list(tmp_path.iterdir())


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    process, began = holder(tmp_path / "lock"), time.monotonic()
    with one_at_a_time(tmp_path / "lock", 0.1) as alone:
        assert not alone
    assert time.monotonic() - began >= 0.1
    assert (tmp_path / "lock").exists(), "it belongs to the other process"
    process.communicate("")
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_made_nothing_is_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with one_at_a_time(tmp_path / "file" / "lock", 60) as alone:
        assert not alone


def test_the_lock_is_given_up_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), one_at_a_time(tmp_path / "lock", 0):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_processes_count_to_the_sum(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "120"
    assert os.listdir(tmp_path) == ["number"]
