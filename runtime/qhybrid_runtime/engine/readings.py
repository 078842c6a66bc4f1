"""Readings of all qubits, drawn from the final states of a program."""

from typing import cast

import numpy as np
import torch
from numpy.random import Generator
from qiskit.quantum_info import SparsePauliOp

from qhybrid_runtime.checks import check_memory
from qhybrid_runtime.engine.cpu.executor import CpuExecutor
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.expectations import executor_for
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program

#: Bytes of final states that are computed at once; their probabilities take some times as many.
_AT_ONCE = 1 << 25


def draw_readings(
    program: Program, inputs: np.ndarray, codes: np.ndarray, shots: int, rng: Generator
) -> np.ndarray:
    """Return the bits (B, shots, n_qubits) of shots of every sample, without readout errors.

    Args:
        program: A circuit whose parameters are all inputs.
        inputs: Their values, float32, shape (B, n_inputs).
        codes: Which Pauli operator acts at each error site, uint8, shape (B, n_sites).
        shots: Of each sample.
        rng: Draws them.

    Raises:
        RequestError: The states do not fit into memory.
    """
    support = frozenset(range(program.num_qubits))
    executor = cast(CpuExecutor, executor_for(program, "cpu", support))
    # Of each task: real and imaginary parts of all registers, for each of its samples.
    task_bytes = 2 * executor.layout.size * LANES * inputs.itemsize
    check_memory(f"Simulating {program.num_qubits} qubits", 2 * task_bytes)
    at_once = LANES * max(1, _AT_ONCE // task_bytes)
    bits = np.empty((len(inputs), shots, program.num_qubits), dtype=bool)
    for first in range(0, len(inputs), at_once):
        part = slice(first, first + at_once)
        sums = _probabilities(program, executor, inputs[part], codes[part]).cumsum(axis=1)
        levels = rng.random((len(sums), shots)) * sums[:, -1:]
        for row, (steps, level) in enumerate(zip(sums, levels, strict=True), start=first):
            drawn = np.searchsorted(steps, level, side="right").clip(max=len(steps) - 1)
            for bit, qubit in enumerate(executor.order):
                bits[row, :, qubit] = drawn >> bit & 1
    return bits


def _probabilities(
    program: Program, executor: CpuExecutor, inputs: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Return (B, 2**n_qubits); bit i of an amplitude's number is qubit `executor.order[i]`."""
    measured = ObservableSet([SparsePauliOp("Z" * program.num_qubits)], program.num_qubits)
    angles = program.angles(torch.as_tensor(inputs)[None], torch.empty(1, 0))
    by_site = torch.as_tensor(codes.T[:, None])
    states = executor.final_states(measured, by_site, *angles)
    size, final = 1 << program.num_qubits, executor.layout.final
    amplitudes = states.reshape(len(states), -1, 2, LANES)[:, final : final + size]
    probabilities = np.square(amplitudes, dtype=np.float64).sum(axis=2)
    return np.asarray(probabilities.transpose(0, 2, 1).reshape(-1, size)[: len(inputs)])
