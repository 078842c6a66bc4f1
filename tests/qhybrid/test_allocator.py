import os
import subprocess
import sys

import pytest

MEASURE = """
import ctypes, resource
from qhybrid.allocator import keep_freed_memory
kept = keep_freed_memory() if {keep} else True
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def use():
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(os, "confstr"), reason="needs a POSIX system")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
        pytest.skip("the C library is not glibc")

    def faults(keep: bool) -> int:
        output = subprocess.run(
            [sys.executable, "-c", MEASURE.format(keep=keep)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert output[0] == "True"
        return int(output[1])

    assert faults(keep=True) < faults(keep=False) / 10
