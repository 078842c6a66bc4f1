"""What needs a process of its own, run as `python -m tests.performance.processes NAME ...`.

`first-call` and `memory` print one line of JSON. `steps` prints `ready`, and then the seconds of
one training step for each line that it reads, so that processes can take turns.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start this module in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.performance.processes", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def ask(*arguments: str) -> Any:
    """Return what this module prints in a fresh interpreter."""
    process = start(*arguments)
    answer, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"`{' '.join(arguments)}` ended with code {process.returncode}")
    return json.loads(answer.splitlines()[-1])


def first_call(channels: str, layers: str, batch: str) -> dict[str, float]:
    """Return seconds of the first value and gradient after the imports, and of a later one."""
    import torch

    from qhybrid_circuits.ansatz import hqconv
    from tests.performance.cases import case
    from tests.performance.contenders import prepare_engine

    prepared = case(hqconv(channels=int(channels), layers=int(layers)), int(batch))
    # What the first use of autograd, of a cotangent (for which torch imports sympy) and of the
    # thread pool costs is torch's own affair.
    torch.ones(2, requires_grad=True).backward(torch.ones(2))
    times = []
    begin = time.perf_counter()
    run = prepare_engine(prepared)
    for _ in range(6):
        run()
        times.append(time.perf_counter() - begin)
        begin = time.perf_counter()
    return {"first_s": times[0], "later_s": float(np.median(times[1:]))}


def memory(channels: str, layers: str, batch: str) -> dict[str, float]:
    """Return the bytes by which one value and gradient raises the process's peak."""
    from qhybrid_circuits.ansatz import hqconv
    from tests.performance.cases import case
    from tests.performance.contenders import prepare_engine

    variational = hqconv(channels=int(channels), layers=int(layers))
    prepare_engine(case(variational, 32))()
    run = prepare_engine(case(variational, int(batch)))
    before = _status("VmRSS")
    # Resets the peak to what is held now.
    Path("/proc/self/clear_refs").write_text("5")
    begin = time.perf_counter()
    run()
    return {"bytes": _status("VmHWM") - before, "seconds": time.perf_counter() - begin}


def steps(model: str, batch: str, size: str, *options: str) -> None:
    """Do training steps on demand.

    Args:
        model: A model, or MODEL@BACKEND.
        batch: Images per step.
        size: Side of the images.
        options: `keep-memory` (as the command line does), and those of `training_step`.
    """
    if "keep-memory" in options:
        from qhybrid.allocator import keep_freed_memory
        from qhybrid.openmp import let_waiting_threads_sleep

        let_waiting_threads_sleep()
        keep_freed_memory()
    from tests.performance.training import training_step

    step = training_step(model, int(batch), int(size), options)
    step()
    _say("ready")
    for _ in sys.stdin:
        begin = time.perf_counter()
        step()
        _say(str(time.perf_counter() - begin))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name == "steps":
        steps(*arguments)
    else:
        _say(json.dumps({"first-call": first_call, "memory": memory}[name](*arguments)))


if __name__ == "__main__":
    main()
