from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.checks import check_finite, check_memory
from qhybrid_runtime.engine.by_dtype import to_keep
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.layout import lay_out
from qhybrid_runtime.engine.cpu.tasks import run_gradients, run_tasks, run_values
from qhybrid_runtime.engine.cpu.wide import wide_gradients, wide_values
from qhybrid_runtime.engine.cpu.workspace import Call, Numbers
from qhybrid_runtime.engine.fusion import plan_sparse_blocks
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import TorchExecutor

#: Bytes below which no machine that runs this is short of memory.
_WORTH_CHECKING = 1 << 28

#: Bytes of final states that are kept for the backward sweep. Where they would be more, it computes
#: them anew, so that memory does not grow with the batch.
KEPT_BYTES = 1 << 28

#: Amplitudes of all registers from which on it pays that threads share a task's steps.
WIDE_AMPLITUDES = 1 << 14


class CpuExecutor:
    """Evaluates a program by compiled sweeps over cache-sized parts of the batch."""

    def __init__(self, program: Program, support: Collection[int]) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        self.layout, self.recipe, self.order = lay_out(plan_sparse_blocks(program, support))
        self.num_sites = program.num_sites
        self._plan = program, support

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
        keeps = torch.is_grad_enabled() and (
            weight_angles.requires_grad or data_angles.requires_grad
        )
        values: Tensor
        function = MappedSweep if torch._C._are_functorch_transforms_active() else Sweep
        values, _ = function.apply(self, observables, keeps, codes, weight_angles, data_angles)
        return values

    @cached_property
    def differentiable(self) -> TorchExecutor:
        """The same in torch operations: slower, but differentiable as often as one likes."""
        return to_keep(lambda: TorchExecutor(*self._plan))

    def final_states(
        self,
        observables: ObservableSet,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> np.ndarray:
        """Return the state of each task, (n_tasks, 2 * layout.size * LANES); see `run_values`."""
        call = self.prepare(observables, codes, weight_angles, data_angles)
        _, groups, lanes = call.numbers.codes.shape
        values = np.empty((observables.count, groups, lanes), call.numbers.cos.dtype)
        tasks = groups * lanes // LANES
        kept = np.empty((tasks, 2 * self.layout.size * LANES), values.dtype)
        self._fill(call, kept, values)
        return kept

    def _fill(self, call: Call, kept: np.ndarray, values: np.ndarray) -> None:
        tasks = values.shape[1] * values.shape[2] // LANES
        if _is_wide(tasks, self.layout.size):
            wide_values(call, kept, values)
        else:
            run_tasks(tasks, lambda *part: run_values(call, kept, values, *part))

    def prepare(
        self,
        observables: ObservableSet,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> Call:
        """Return what the kernels are given; the arguments are those of a call."""
        chunks = -(-data_angles.shape[1] // LANES)
        weight_waves, data_waves = self.recipe.waves
        by_samples = _in_chunks(data_angles.detach().numpy().transpose(2, 0, 1), chunks)
        shared = weight_waves.turns(weight_angles.detach().numpy().T)
        differing = data_waves.turns(by_samples)
        numbers = Numbers(
            np.cos(shared),
            np.sin(shared),
            *self.recipe.with_amplitudes(np.cos(differing), np.sin(differing), by_samples),
            _in_chunks(codes.numpy(), chunks),
        )
        tables = observables.tables(self.order, differing.dtype)
        return Call(self.layout, self.recipe.tables, tables, numbers)

    def _check_memory(self, observables: ObservableSet, element_size: int) -> None:
        # State and co-state, real and imaginary, `LANES` samples each, of each thread.
        states = 4 * LANES * element_size * self.layout.size * torch.get_num_threads()
        needed = states + observables.table_bytes(element_size)
        if needed > _WORTH_CHECKING:
            check_memory(f"Simulating {observables.num_qubits} qubits", needed)


@dataclass(frozen=True, eq=False)
class Record:
    """What the backward sweep takes over from the forward one."""

    call: Call
    kept: np.ndarray  # The final state of each task, (n, 2 * size * LANES), or n = 0.


class MappedSweep(torch.autograd.Function):
    """Expectation values of a program at given angles.

    Trigonometry is numpy's and everything after it the kernels': torch's threads, once awake, hold
    on to the processors that the kernels need.
    """

    @staticmethod
    def forward(
        executor: CpuExecutor,
        observables: ObservableSet,
        keeps: bool,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> tuple[Tensor, Record]:
        """Return what a `CpuExecutor` returns, and what it `keeps` for the gradients."""
        groups, samples = data_angles.shape[:2]
        chunks = -(-samples // LANES)
        call = executor.prepare(observables, codes, weight_angles, data_angles)
        dtype = call.numbers.cos.dtype
        tasks, length = groups * chunks, 2 * executor.layout.size * LANES
        keeps = keeps and tasks * length * dtype.itemsize <= KEPT_BYTES
        kept = np.empty((tasks if keeps else 0, length), dtype)
        values = np.empty((observables.count, groups, chunks * LANES), dtype)
        executor._fill(call, kept, values)
        return torch.from_numpy(_by_samples(values, samples)), Record(call, kept)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Record]) -> None:
        ctx.executor, ctx.observables, _, *tensors = inputs
        ctx.record = output[1]
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the angles by the adjoint method."""
        # Gradients are on where these are differentiated again, and inside of torch.func.
        find = SweepGradient.apply if torch.is_grad_enabled() else SweepGradient.forward
        point = (*ctx.saved_tensors, cotangent)
        return (*[None] * 4, *find(ctx.executor, ctx.observables, ctx.record, *point))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], executor: CpuExecutor, *others: Any
    ) -> tuple[tuple[Tensor, None], tuple[int, None]]:
        """Evaluate all of a mapped axis as further weight sets."""
        check_finite("angles", others[-1])
        folded = _folded(info.batch_size, in_dims[3:], others[2:])
        values, _ = MappedSweep.apply(executor, others[0], False, *folded)
        return (values.unflatten(0, (info.batch_size, -1)), None), (0, None)


class Sweep(MappedSweep):
    """The same outside of torch.func, without the time that it takes to name the arguments."""

    setup_context = torch.autograd.Function.setup_context  # not defined: `forward` does it

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Record]:
        output = MappedSweep.forward(*inputs)
        MappedSweep.setup_context(ctx, inputs, output)
        return output


class SweepGradient(torch.autograd.Function):
    """Gradients of the values by angles, (G, n_weight_angles) and (G, B, n_data_angles).

    They come from the kernels, and their own derivatives from torch operations.
    """

    @staticmethod
    def forward(
        executor: CpuExecutor,
        observables: ObservableSet,
        record: Record | None,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
        cotangent: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients for cotangents (G, B, n_obs)."""
        if record is None:
            call = executor.prepare(observables, codes, weight_angles, data_angles)
            record = Record(call, np.empty((0, 0), call.numbers.cos.dtype))
        shared_cos, shared_sin, cos, sin, _ = record.call.numbers
        groups, samples, num_data_angles = data_angles.shape
        chunks = -(-samples // LANES)
        by_shared = np.empty((2 * len(shared_cos), groups, chunks), cos.dtype)
        by_differing = np.empty((2 * len(cos), groups, chunks * LANES), cos.dtype)
        cotangents = _in_chunks(cotangent.detach().numpy().transpose(2, 0, 1), chunks)
        arguments = (record.call, record.kept, cotangents, by_shared, by_differing)
        if _is_wide(groups * chunks, executor.layout.size):
            wide_gradients(*arguments)
        else:
            run_tasks(groups * chunks, lambda *part: run_gradients(*arguments, *part))
        # In double precision and in the order of the tasks: the sum does not depend on threads.
        summed = by_shared.sum(axis=2, dtype=np.float64).astype(cos.dtype)
        weight_waves, data_waves = executor.recipe.waves
        by_turns = _by_turns(summed, shared_cos, shared_sin)
        by_weights = weight_waves.pull_back(by_turns, weight_angles.shape[1])
        waves = data_waves.count
        by_turns = _by_turns(by_differing[: 2 * waves], cos[:waves], sin[:waves])
        by_data = data_waves.pull_back(by_turns, num_data_angles)
        executor.recipe.pull_back_amplitudes(by_differing[2 * waves :], by_data)
        gradients = by_weights.T.copy(), _by_samples(by_data, samples)
        return torch.from_numpy(gradients[0]), torch.from_numpy(gradients[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.executor, ctx.observables, _, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives along the gradients' cotangents, by torch's own rules."""
        codes, *point = ctx.saved_tensors
        values_at: TorchExecutor = ctx.executor.differentiable

        def gradients(*point: Tensor) -> tuple[Tensor, ...]:
            def values(weight_angles: Tensor, data_angles: Tensor) -> Tensor:
                return values_at(ctx.observables, weight_angles, data_angles, codes)

            found: tuple[Tensor, ...] = torch.func.vjp(values, *point[:2])[1](point[2])
            return found

        return (*[None] * 4, *torch.func.vjp(gradients, *point)[1](along))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], executor: CpuExecutor, *others: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Evaluate all of a mapped axis as further weight sets."""
        folded = _folded(info.batch_size, in_dims[3:], others[2:])
        found = SweepGradient.apply(executor, others[0], None, *folded)
        return tuple(each.unflatten(0, (info.batch_size, -1)) for each in found), (0, 0)


def _folded(
    size: int, in_dims: Sequence[int | None], tensors: Sequence[Tensor]
) -> Iterator[Tensor]:
    """Yield tensors with a mapped axis joined to that of the groups: codes first, then others."""
    for number, (dim, tensor) in enumerate(zip(in_dims, tensors, strict=True)):
        axis = 1 if number == 0 else 0
        if dim is None:
            shape = tensor.shape
            spread = tensor.unsqueeze(axis).expand(*shape[:axis], size, *shape[axis:])
        else:
            spread = tensor.movedim(dim, axis)
        yield spread.flatten(axis, axis + 1)


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
