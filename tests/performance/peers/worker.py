"""Runs a peer in the peer's environment, which has neither this project nor Qiskit.

`python worker.py PEER FOLDER` reads the circuit and its numbers from FOLDER, prints `ready`, and
evaluates it once for each line that it reads. Results go to memory-mapped arrays in FOLDER.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

#: (name, qubits, angles (offset, slope, parameter or None)) of each gate.
Gates = list[tuple[str, list[int], list[tuple[float, float, int | None]]]]
Run = Callable[[], tuple[Any, Any, Any]]


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    circuit = json.loads((folder / "circuit.json").read_text())
    numbers = [np.load(folder / f"{each}.npy") for each in ("inputs", "weights", "cotangent")]
    prepare = import_module(f"with_{name}").prepare
    run: Run = prepare(circuit["num_qubits"], circuit["gates"], circuit["outputs"], *numbers)
    results = [np.load(folder / f"result{index}.npy", mmap_mode="r+") for index in range(3)]
    print("ready", flush=True)
    for _ in sys.stdin:
        for result, value in zip(results, run(), strict=True):
            result[...] = value
        print("done", flush=True)


if __name__ == "__main__":
    main()
