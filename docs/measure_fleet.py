"""Measure how much faster several QPUs draw than one, with queue times that are made up.

The QPUs are those of `qhybrid serve-fake`, spoken to by IBM's client. Each runs its jobs one after
the other, and takes `--pace` seconds for each QPU second that a job is estimated at, as a QPU would
that is shared with others. Readings are coin flips, since only times are measured. Prints seconds a
round and their ratio, for one QPU and for each fleet.
"""

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qhybrid_runtime import get_backend
from qhybrid_runtime.hardware import service_client
from qhybrid_runtime.loopback import account as accounts
from qhybrid_runtime.loopback import programs
from qhybrid_runtime.loopback.account import Account
from qhybrid_runtime.loopback.served_qpu import ServedQpu
from qhybrid_runtime.loopback.server import LoopbackService

FAKES = ("fake_manila", "fake_lima", "fake_quito", "fake_belem")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the QPUs, and time rounds on the first one, then on more of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64, help="samples of a round")
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds for each QPU second")
    parser.add_argument("--lose", action="store_true", help="the last QPU hangs from round 2 on")
    chosen = parser.parse_args(arguments)
    account = Account([ServedQpu(name) for name in FAKES], pace=chosen.pace)
    service = LoopbackService(account)
    os.environ.update(service.environment())
    service_client._LONGEST_POLL_SECONDS = 0.5  # so that the pauses are not what is measured
    accounts.run_program = flipped_coins
    names = list(account.qpus)
    try:
        alone = 0.0
        for count in (1, 2, 4):
            seconds = timed(",".join(names[:count]), chosen, account if chosen.lose else None)
            alone = alone or seconds
            print(f"{count} QPUs: {seconds:6.2f} s a round, {alone / seconds:.2f} x one")
    finally:
        service.close()


def flipped_coins(program: Any, target: Target, *, mock: bool) -> str:
    """Return a result as that of a mock device."""
    return programs.run_program(program, target, mock=True)


def timed(name: str, chosen: argparse.Namespace, lost: Account | None) -> float:
    """Return the seconds of a round on QPUs, after one that loads and lowers everything."""
    pub = example(chosen.images)
    with get_backend(name, shots=chosen.shots) as backend:
        backend.estimator().run([example(4)]).result()
        if lost is not None and "," in name:
            lost.qpus[name.split(",")[-1]].maintenance = True
        began = time.perf_counter()
        for _ in range(chosen.rounds):
            backend.estimator().run([pub]).result()
        return (time.perf_counter() - began) / chosen.rounds


def example(images: int) -> tuple[QuantumCircuit, list[list[SparsePauliOp]], np.ndarray]:
    """Return a PUB of three qubits, an input each, and Z on each."""
    inputs, circuit = ParameterVector("inputs", 3), QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(inputs[qubit], qubit)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    observables = [[SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], 3)] for q in range(3)]
    return circuit, observables, np.random.default_rng(0).uniform(-1, 1, (images, 3))


if __name__ == "__main__":
    main()
