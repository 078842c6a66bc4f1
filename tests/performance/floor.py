"""How much arithmetic and memory traffic an evaluation takes, and how fast both could be."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qhybrid_circuits import VariationalCircuit
from qhybrid_runtime.engine.cpu.executor import CpuExecutor
from qhybrid_runtime.engine.cpu.layout import JOIN
from qhybrid_runtime.engine.patterns import Kind
from qhybrid_runtime.engine.program import compile_program
from tests.performance.cases import case
from tests.performance.contenders import ENGINE
from tests.performance.timing import interleaved

#: Bytes of a complex number in single precision.
AMPLITUDE = 8


@dataclass(frozen=True)
class Sweep:
    """What one sample takes in one direction.

    Attributes:
        flops: Additions and multiplications of real numbers.
        bytes: Amplitudes read and written between the registers and the cached groups.
    """

    flops: int
    bytes: int


@dataclass(frozen=True)
class Floor:
    """One batch's value and vector-Jacobian product.

    Attributes:
        forward: To the expectation values.
        backward: From the cotangent to all gradients, the state at hand.
        matrix_rate: FLOP/s of a large matrix product in single precision.
        copy_rate: Bytes/s, read and written, of copying an array that fits the second-level cache.
        seconds: What the evaluation takes.
        batch: Samples.
    """

    forward: Sweep
    backward: Sweep
    matrix_rate: float
    copy_rate: float
    seconds: float
    batch: int

    @property
    def arithmetic_s(self) -> float:
        """The time of the batch's arithmetic at the rate of matrix products."""
        return self.batch * (self.forward.flops + self.backward.flops) / self.matrix_rate

    @property
    def traffic_s(self) -> float:
        """The time of the batch's memory traffic at the rate of copies."""
        return self.batch * (self.forward.bytes + self.backward.bytes) / self.copy_rate


def count(variational: VariationalCircuit) -> tuple[Sweep, Sweep]:
    """Return what one sample's forward and backward sweeps take, from the executor's layout."""
    program = compile_program(variational)
    executor = CpuExecutor(program, range(program.num_qubits))
    amplitudes = 1 << program.num_qubits
    # Eigenvalues times probabilities, and the co-state they start: one fused step an observable.
    forward, backward = [amplitudes * (3 + 2 * variational.num_outputs)] * 2
    moved = 0
    for step in executor.layout.steps:
        if step[0] == JOIN:
            joined = 1 << int(step[2] + step[4])
            forward, backward = forward + 6 * joined, backward + 16 * joined
            continue
        moved += 1 << int(step[2])
        groups = 1 << int(step[2] - step[4])
        for kind, rows, _, wanted, _, _, bases in executor.layout.gates[step[5] : step[6]]:
            product, overlap = _flops(Kind(kind), int(rows))
            forward += groups * int(bases) * product
            # State and co-state are multiplied, and the overlap of both is a sum of products.
            backward += groups * int(bases) * (2 * product + (overlap if wanted else 0))
    traffic = 2 * AMPLITUDE * moved
    return Sweep(forward, traffic), Sweep(backward, 2 * traffic)


def _flops(kind: Kind, rows: int) -> tuple[int, int]:
    """Return what a part of a gate takes for one set of amplitudes, and what the overlap takes."""
    if kind == Kind.EXCHANGE:
        return 0, 0
    if kind in (Kind.REAL, Kind.CROSS):
        return 12, 16
    return 8 * rows * rows - 2 * rows, 8 * rows * rows


def matrix_product(side: int = 2048) -> tuple[int, Callable[[], Tensor]]:
    """Return the operations of a large matrix product in single precision, and what does it."""
    left, right = torch.randn(2, side, side)
    return 2 * side**3, lambda: left @ right


def measure_floor(variational: VariationalCircuit, batch: int, rounds: int = 5) -> Floor:
    """Count, and time the evaluation beside a matrix product and a copy in this run."""
    product_flops, product = matrix_product()
    length = 1 << 15
    source, target = np.ones((2, length), np.float32)
    times = interleaved(
        {
            "engine": ENGINE.prepare(case(variational, batch)),
            "matrix": product,
            "copy": lambda: [np.copyto(target, source) for _ in range(100)],
        },
        rounds,
    )
    forward, backward = count(variational)
    copied = 100 * 2 * source.nbytes * torch.get_num_threads()
    return Floor(
        forward,
        backward,
        product_flops / times["matrix"],
        # One core copies; each has a cache of its own.
        copied / times["copy"],
        times["engine"],
        batch,
    )


def describe(floor: Floor) -> str:
    """Return the floor as a few lines of Markdown."""
    ours, back = floor.forward, floor.backward
    rate = floor.batch * (ours.flops + back.flops) / floor.seconds
    return "\n".join(
        [
            f"- forward sweep: {ours.flops / 1e6:.2f} MFLOP and {ours.bytes / 1e6:.2f} MB between "
            "registers and cached groups, a sample",
            f"- backward sweep: {back.flops / 1e6:.2f} MFLOP and {back.bytes / 1e6:.2f} MB",
            f"- batch {floor.batch}, both sweeps: {floor.arithmetic_s * 1e3:.1f} ms at the "
            f"{floor.matrix_rate / 1e9:.0f} GFLOP/s of a matrix product, "
            f"{floor.traffic_s * 1e3:.1f} ms at the {floor.copy_rate / 1e9:.0f} GB/s of copies "
            "within the second-level caches",
            f"- measured: {floor.seconds * 1e3:.1f} ms, which is "
            f"{floor.seconds / max(floor.arithmetic_s, floor.traffic_s):.1f} times the larger of "
            f"the two: {rate / 1e9:.0f} GFLOP/s, all that is not arithmetic included",
        ]
    )
