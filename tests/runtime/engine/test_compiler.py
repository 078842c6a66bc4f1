"""Kernels are compiled by one of the processes that need them."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from qhybrid_runtime.engine.cpu.compiler import compiled

MODULE = """
import os, time
import numpy as np
from numba.extending import overload
from qhybrid_runtime.engine.cpu.compiler import compiled, kernel

def slow(x):
    pass

@overload(slow)
def _slow(x):
    time.sleep(0.5)  # while the kernel is compiled
    os.write(1, b"inner\\n")
    return lambda x: 3 * x

@kernel
def inner(x):
    return slow(x)

@compiled
def outer(x):
    return inner(x) + 1

@compiled
def other(x):
    return inner(x) + 2
"""

SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from numba.core import event
from qhybrid_runtime.engine.cpu.compiler import WAITING
from kernels_of_a_test import outer, other

class Told(event.Listener):
    def on_start(self, event):
        os.write(1, b"waits\\n")

    def on_end(self, event):
        pass

event.register(WAITING, Told())
ready, go = os.pipe()
for function in (outer, other, outer):
    if not os.fork():
        os.close(go)
        os.read(ready, 1)  # until all are there, and the other end is closed
        os.write(1, str(function(2.0)).encode() + b"\\n")
        os._exit(0)
os.close(go)
assert [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(3)] == [0, 0, 0]
"""


def printed_by(script: str, folder: Path) -> list[str]:
    """Return the words that a script prints, which keeps kernels in a folder of its own."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_processes_that_need_the_same_kernel_compile_it_once(tmp_path: Path) -> None:
    """Two kernels that call a third are compiled at the same time, one of them for two."""
    (tmp_path / "kernels_of_a_test.py").write_text(MODULE)
    printed = printed_by(SCRIPT, tmp_path)
    assert printed.count("inner") == 1
    assert sorted(set(printed) - {"inner", "waits"}) == ["7.0", "8.0"]
    assert "waits" in printed
    assert not list((tmp_path / "cache").rglob("*.lock"))


KILLED = """
import os, sys
from pathlib import Path
from numba.core import caching
from qhybrid_runtime.engine.cpu import compiler

sys.path.insert(0, sys.argv[1])
source = "from qhybrid_runtime.engine.cpu.compiler import compiled\\n"
source += "@compiled\\ndef outer(x):\\n    return x + {}\\n"
for added, killed in ((1, False), (22, True), (22, False), (22, False)):
    Path(sys.argv[1], "kernel_of_a_test.py").write_text(source.format(added))
    if not os.fork():
        from kernel_of_a_test import outer
        if killed:  # when numba has written the index, and not yet the code
            caching.IndexDataCacheFile._save_data = lambda *_: os._exit(0)
        os.write(1, str(outer(1.0)).encode() + b"\\n")
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_that_is_killed_leaves_no_kernel_of_the_former_source(tmp_path: Path) -> None:
    assert printed_by(KILLED, tmp_path) == ["2.0", "23.0", "23.0"]


def test_without_numbas_compiler_kernels_are_the_functions_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def function(x: int) -> int:
        return x + 1

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert compiled(function) is function
