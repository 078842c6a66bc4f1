"""Kernels are compiled by a process of their own, while this one loads its libraries.

Before the first step of a first training, imports take half a minute, and kernels another. The
kernels are the same as if this process had compiled them, so that no result depends on which of
the two was quicker, or on whether the other one ran at all.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import qhybrid_runtime
from qhybrid.interpreter import module_command
from qhybrid.models.image_sizes import FUSED_FROM
from qhybrid.models.row import ModelRow
from qhybrid_circuits.directories import cache_directory
from qhybrid_runtime.backends.registry import check_backend_name
from qhybrid_runtime.machine import processors

CIRCUITS, IMAGES = "circuits", "images"
"""What there are kernels for."""

_SOURCES = (
    Path(qhybrid_runtime.__path__[0], "engine", "cpu"),
    Path(__file__).parents[1] / "models" / "fused",
)
"""The packages that they are in."""

_STARTED = "QHYBRID_COMPILES_KERNELS"
"""In the environment of the process that compiles them, so that it starts no other."""


def needed(row: ModelRow, image_size: int | None, device: str, backend: str) -> list[str]:
    """Return what a model needs kernels for.

    Args:
        row: The model.
        image_size: Of its images, in pixels; None where the files decide.
        device: The torch device, as it is asked for.
        backend: Where its circuits run.
    """
    if device == "cuda":
        return []
    simulated = not check_backend_name(backend).runs_jobs
    circuits = [CIRCUITS] if row.circuits and simulated else []
    large = (image_size or 0) ** 2 >= FUSED_FROM
    return circuits + ([IMAGES] if large and not row.process.latents else [])


def record_file(kind: str) -> Path | None:
    """Return the file that says where kernels were compiled to; None where nothing can be kept.

    It is another one for other sources, and another Python or numba.
    """
    folder, numba = cache_directory("kernels"), find_spec("numba")
    if folder is None or numba is None or numba.origin is None:
        return None
    sources = sorted(path for package in _SOURCES for path in package.glob("*.py"))
    files = [Path(numba.origin), *sources]
    stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    known = repr((stamps, sys.version, os.environ.get("NUMBA_CACHE_DIR")))
    return folder / f"{kind}-{sha256(known.encode()).hexdigest()[:16]}"


@contextmanager
def compiled_beside(kinds: list[str]) -> Iterator[None]:
    """Compile kernels that are not there yet in another process, which ends with the block.

    Where torch is loaded already there is nothing to wait for meanwhile, and on one processor
    nothing to gain: no process is started then.
    """
    pays = "torch" not in sys.modules and processors() > 1
    missing = [each for each in kinds if not _is_there(each)] if pays else []
    process = _started(missing) if missing else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.communicate()


def _is_there(kind: str) -> bool:
    """Whether kernels were compiled, and are where they were then; True if nothing can be kept."""
    record = record_file(kind)
    try:
        return record is None or any(Path(record.read_text(encoding="utf-8")).glob("*.nbi"))
    except OSError:
        return False


def _started(kinds: list[str]) -> "subprocess.Popen[bytes] | None":
    # A program that is frozen, or has Python in it, is its own interpreter: it would begin anew.
    if not sys.executable or getattr(sys, "frozen", False) or _STARTED in os.environ:
        return None
    try:
        # It sees the end of its input, and ends, when this process does, however that ends.
        return subprocess.Popen(
            module_command("qhybrid.kernels", *kinds),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, _STARTED: "1"},
        )
    except OSError:  # It may start no process.
        return None
