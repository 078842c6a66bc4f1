"""Processes that fill empty caches at the same time: circuits, kernels, and downloaded data."""

import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

PROCESSES = 4
"""Of a suite of tests; eight do no otherwise."""

SCRIPT = """
import json, os, sys
import qiskit_ibm_runtime, torchvision.datasets.utils  # of which what follows takes parts
import numpy as np
from numba import types
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap
from qhybrid.data import medmnist
from qhybrid.data.load import load_dataset
from qhybrid_circuits import build_ansatz, lower
from qhybrid_runtime.engine.cpu.registers import spread_bits

address, md5, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
medmnist.RECORD = address
medmnist.FILES["bloodmnist"] = medmnist.FILES["bloodmnist"]._replace(md5=md5)
ansatz = build_ansatz("basic_entangling", qubits=3, layers=1)
line = CouplingMap.from_line(3)
target = GenericBackendV2(3, ["cz", "rz", "sx", "x"], coupling_map=line, seed=5).target
# Nothing is lowered before: Qiskit's threads would not be there in what is forked.
ready, go = os.pipe()

def fill():
    lowered = lower(ansatz, target, weights=np.linspace(0, 1, ansatz.num_weights))
    spread_bits.compile((types.int64, types.int64[::1]))
    hits = sum(spread_bits.stats.cache_hits.values())
    gates = [(each.operation.name, *map(str, each.operation.params)) for each in lowered.circuit]
    return [repr(gates), int(load_dataset("bloodmnist").images.sum()), hits]

for number in range(count):
    if not os.fork():
        os.close(go)
        os.read(ready, 1)  # until all are there, and the other end is closed
        os.write(1, json.dumps(fill()).encode() + b"\\n")
        os._exit(0)
os.close(go)
assert [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(count)] == [0] * count
print(json.dumps(fill()))
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a data set is published."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_processes_fill_empty_caches_at_the_same_time(address: str, tmp_path: Path) -> None:
    """Seconds, most of them for loading torch and Qiskit, once."""
    published = tmp_path / "files" / "bloodmnist.npz"
    published.parent.mkdir()
    images = np.arange(8 * 28 * 28 * 3, dtype=np.uint8).reshape(8, 28, 28, 3)
    labels = np.arange(8, dtype=np.uint8)[:, None]
    arrays = {"train_images": images, "train_labels": labels}
    np.savez(published, **arrays, test_images=images, test_labels=labels)
    names = ("QHYBRID_CACHE_DIR", "NUMBA_CACHE_DIR", "QHYBRID_DATA")
    caches = {name: str(tmp_path / name) for name in names}
    md5 = hashlib.md5(published.read_bytes()).hexdigest()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, address, md5, str(PROCESSES)],
        env={**os.environ, **caches, "no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    *found, last = map(json.loads, ended.stdout.splitlines())
    assert len(found) == PROCESSES
    assert {(gates, pixels) for gates, pixels, _ in found} == {(last[0], int(images.sum()))}
    assert last[2] == 1  # the kernel that they left is taken
    files = {path for name in names for path in (tmp_path / name).rglob("*") if path.is_file()}
    assert {path.suffix for path in files} == {".qpy", ".json", ".nbi", ".nbc", ".npz"}
