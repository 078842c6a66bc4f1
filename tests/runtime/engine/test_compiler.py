"""Kernels are compiled by one of the processes that need them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import os, time
import numpy as np
from numba.extending import overload
from qhybrid_runtime.engine.cpu.compiler import compiled, kernel

def slow(x):
    pass

@overload(slow)
def _slow(x):
    time.sleep(0.3)  # while the kernel is compiled
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_processes_that_need_the_same_kernel_compile_it_once(tmp_path: Path) -> None:
    """Two kernels that call a third are compiled at the same time, one of them for two."""
    (tmp_path / "kernels_of_a_test.py").write_text(MODULE)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    printed = done.stdout.split()
    assert printed.count("inner") == 1
    assert sorted(set(printed) - {"inner", "waits"}) == ["7.0", "8.0"]
    assert printed.count("waits") >= 2
    assert not list((tmp_path / "cache").rglob("*.lock"))
