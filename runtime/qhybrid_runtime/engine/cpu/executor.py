from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qhybrid_runtime.checks import check_memory
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.layout import lay_out
from qhybrid_runtime.engine.cpu.tasks import run_gradients, run_tasks, run_values
from qhybrid_runtime.engine.cpu.wide import wide_gradients, wide_values
from qhybrid_runtime.engine.cpu.workspace import Call, Numbers
from qhybrid_runtime.engine.fusion import plan_sparse_blocks
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program

#: Bytes below which no machine that runs this is short of memory.
_WORTH_CHECKING = 1 << 28

#: Bytes of final states that are kept for the backward sweep. Where they would be more, it computes
#: them anew, so that memory does not grow with the batch.
KEPT_BYTES = 1 << 27

#: Amplitudes of all registers from which on it pays that threads share a task's steps.
WIDE_AMPLITUDES = 1 << 14


class CpuExecutor:
    """Evaluates a program by compiled sweeps over cache-sized parts of the batch."""

    def __init__(self, program: Program, support: Collection[int]) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        self.layout, self.recipe, self.order = lay_out(plan_sparse_blocks(program, support))
        self.num_sites = program.num_sites

    def __call__(
        self,
        observables: ObservableSet,
        weight_angles: Tensor,
        data_angles: Tensor,
        codes: Tensor | None,
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        self._check_memory(observables, weight_angles.element_size())
        if codes is None:
            codes = torch.zeros(self.num_sites, *data_angles.shape[:2], dtype=torch.uint8)
        values: Tensor = Sweep.apply(self, observables, codes, weight_angles, data_angles)
        return values

    def _check_memory(self, observables: ObservableSet, element_size: int) -> None:
        # State and co-state, real and imaginary, `LANES` samples each, of each thread.
        states = 4 * LANES * element_size * self.layout.size * torch.get_num_threads()
        needed = states + observables.table_bytes(element_size)
        if needed > _WORTH_CHECKING:
            check_memory(f"Simulating {observables.num_qubits} qubits", needed)


class Sweep(torch.autograd.Function):
    """Expectation values of a program at given angles.

    Trigonometry is numpy's and everything after it the kernels': torch's threads, once awake, hold
    on to the processors that the kernels need.
    """

    @staticmethod
    def forward(
        ctx: Any,
        executor: CpuExecutor,
        observables: ObservableSet,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> Tensor:
        """Return what a `CpuExecutor` returns."""
        groups, samples = data_angles.shape[:2]
        chunks = -(-samples // LANES)
        weight_waves, data_waves = executor.recipe.waves
        by_samples = _in_chunks(data_angles.detach().numpy().transpose(2, 0, 1), chunks)
        shared = weight_waves.turns(weight_angles.detach().numpy().T)
        differing = data_waves.turns(by_samples)
        numbers = Numbers(
            np.cos(shared),
            np.sin(shared),
            *executor.recipe.with_amplitudes(np.cos(differing), np.sin(differing), by_samples),
            _in_chunks(codes.numpy(), chunks),
        )
        dtype = differing.dtype
        layout, recipe = executor.layout, executor.recipe
        ctx.call = Call(layout, recipe.tables, observables.tables(executor.order, dtype), numbers)
        ctx.recipe = recipe
        ctx.shapes = weight_angles.shape, data_angles.shape
        tasks, length = groups * chunks, 2 * layout.size * LANES
        keeps = any(ctx.needs_input_grad) and tasks * length * dtype.itemsize <= KEPT_BYTES
        ctx.kept = np.empty((tasks if keeps else 0, length), dtype)
        values = np.empty((observables.count, groups, chunks * LANES), dtype)
        if _is_wide(tasks, layout.size):
            wide_values(ctx.call, ctx.kept, values)
        else:
            run_tasks(tasks, lambda *part: run_values(ctx.call, ctx.kept, values, *part))
        return torch.from_numpy(_by_samples(values, samples))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the angles by the adjoint method."""
        shared_cos, shared_sin, cos, sin, _ = ctx.call.numbers
        (_, num_weight_angles), (groups, samples, num_data_angles) = ctx.shapes
        chunks = -(-samples // LANES)
        by_shared = np.empty((2 * len(shared_cos), groups, chunks), cos.dtype)
        by_differing = np.empty((2 * len(cos), groups, chunks * LANES), cos.dtype)
        cotangents = _in_chunks(cotangent.numpy().transpose(2, 0, 1), chunks)
        arguments = (ctx.call, ctx.kept, cotangents, by_shared, by_differing)
        if _is_wide(groups * chunks, ctx.call.layout.size):
            wide_gradients(*arguments)
        else:
            run_tasks(groups * chunks, lambda *part: run_gradients(*arguments, *part))
        # In double precision and in the order of the tasks: the sum does not depend on threads.
        summed = by_shared.sum(axis=2, dtype=np.float64).astype(cos.dtype)
        weight_waves, data_waves = ctx.recipe.waves
        by_turns = _by_turns(summed, shared_cos, shared_sin)
        by_weights = weight_waves.pull_back(by_turns, num_weight_angles)
        waves = data_waves.count
        by_turns = _by_turns(by_differing[: 2 * waves], cos[:waves], sin[:waves])
        by_data = data_waves.pull_back(by_turns, num_data_angles)
        ctx.recipe.pull_back_amplitudes(by_differing[2 * waves :], by_data)
        gradients = by_weights.T.copy(), _by_samples(by_data, samples)
        return None, None, None, *(torch.from_numpy(gradient) for gradient in gradients)


def _is_wide(tasks: int, size: int) -> bool:
    """Return whether threads should share each task, rather than have tasks of their own."""
    return tasks < torch.get_num_threads() and size >= WIDE_AMPLITUDES


def _by_turns(by_waves: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Return the gradient by exponents t of one by real and imaginary parts of exp(it)."""
    gradient: np.ndarray = by_waves[1::2] * cos - by_waves[::2] * sin
    return gradient


def _in_chunks(batch: np.ndarray, chunks: int) -> np.ndarray:
    """Return (n, G, B) as (n, G, n_chunks * LANES), zero where there is no sample."""
    padded = np.zeros((*batch.shape[:2], chunks * LANES), batch.dtype)
    padded[:, :, : batch.shape[2]] = batch
    return padded


def _by_samples(array: np.ndarray, samples: int) -> np.ndarray:
    """Return (n, G, n_chunks * LANES) as (G, B, n)."""
    return np.ascontiguousarray(array[:, :, :samples].transpose(1, 2, 0))
