"""Peers that run in another interpreter than ours."""

import json
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from qhybrid.verification.gates import plain_gates
from tests.performance.cases import Case, z_qubit
from tests.performance.peers.environments import interpreter

_WORKER = Path(__file__).with_name("worker.py")


def prepare_elsewhere(name: str) -> Callable[[Case], Callable[[], tuple[Any, Any, Any]]]:
    """Return a contender's `prepare`; each call of what it returns is one in the other process.

    The time that a call takes includes a line there and back through pipes, some 50 µs.
    """
    return lambda case: _Elsewhere(name, case)


class _Elsewhere:
    """A peer that waits for calls, as long as this object lives."""

    def __init__(self, name: str, case: Case) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        variational = case.variational
        circuit = {
            "num_qubits": variational.num_qubits,
            "gates": [astuple(gate) for gate in plain_gates(variational)],
            "outputs": [z_qubit(observable) for observable in variational.observables],
        }
        (folder / "circuit.json").write_text(json.dumps(circuit))
        for what in ("inputs", "weights", "cotangent"):
            np.save(folder / f"{what}.npy", getattr(case, what))
        shapes = (case.cotangent.shape, case.inputs.shape, case.weights.shape)
        for index, shape in enumerate(shapes):
            np.save(folder / f"result{index}.npy", np.zeros(shape, np.float32))
        self._results = [np.load(folder / f"result{i}.npy", mmap_mode="r") for i in range(3)]
        self._process = subprocess.Popen(
            [str(interpreter(name)), str(_WORKER), name, str(folder)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "errors").open("w"),
        )
        weakref.finalize(self, _end, self._process)
        self._expect("ready")

    def __call__(self) -> tuple[Any, Any, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._expect("done")
        values, by_inputs, by_weights = self._results
        return values, by_inputs, by_weights

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != word:
            self._process.wait()
            errors = (Path(self._folder.name) / "errors").read_text()
            raise RuntimeError(f"a peer ended: {errors.strip().splitlines()[-1:]}")


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()
