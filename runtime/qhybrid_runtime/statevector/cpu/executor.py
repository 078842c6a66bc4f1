from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qhybrid_runtime.checks import check_memory
from qhybrid_runtime.statevector.cpu.lanes import LANES
from qhybrid_runtime.statevector.cpu.layout import lay_out
from qhybrid_runtime.statevector.cpu.sweeps import run_gradients, run_values
from qhybrid_runtime.statevector.cpu.threads import run_tasks
from qhybrid_runtime.statevector.fusion import plan_controlled_blocks
from qhybrid_runtime.statevector.matrices import MatrixBuilder
from qhybrid_runtime.statevector.observables import ObservableSet
from qhybrid_runtime.statevector.program import Program

Arrays = tuple[np.ndarray, ...]

#: Bytes below which no machine that runs this is short of memory.
_WORTH_CHECKING = 1 << 28


class CpuExecutor:
    """Evaluates a program by compiled sweeps over cache-sized parts of the batch."""

    def __init__(self, program: Program, support: Collection[int]) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        plan = plan_controlled_blocks(program, support)
        self._builder = MatrixBuilder(plan)
        self.layout = lay_out(plan, self._builder.stacks)
        self.data_stacks = tuple(plan.blocks[stack[0]].data for stack in self._builder.stacks)
        self.tables = (
            self.layout.steps,
            self.layout.gates,
            self.layout.places,
            self.layout.tables,
        )
        self.group_size = max((1 << int(s[4]) for s in self.layout.steps if s[0]), default=1)
        self._observed: WeakKeyDictionary[ObservableSet, dict[np.dtype[Any], Arrays]] = (
            WeakKeyDictionary()
        )

    def __call__(
        self, observables: ObservableSet, weight_angles: Tensor, data_angles: Tensor
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        self._check_memory(observables, weight_angles.element_size())
        starts, stacks = self._builder.build(weight_angles, data_angles)
        values: Tensor = Sweep.apply(self, observables, starts, *stacks)
        return values

    def _check_memory(self, observables: ObservableSet, element_size: int) -> None:
        # State and co-state, real and imaginary, `LANES` samples each, of each thread.
        states = 4 * LANES * element_size * self.layout.size * torch.get_num_threads()
        needed = states + observables.table_bytes(element_size)
        if needed > _WORTH_CHECKING:
            check_memory(f"Simulating {observables.num_qubits} qubits", needed)

    def observed(self, observables: ObservableSet, dtype: np.dtype[Any]) -> Arrays:
        """Return the arguments of `measure`, in the bit order of the layout's last register."""
        known = self._observed.setdefault(observables, {})
        if dtype not in known:
            known[dtype] = observables.tables(self.layout.order, dtype)
        return known[dtype]


class Sweep(torch.autograd.Function):
    """Expectation values of a product state after the blocks of a layout."""

    @staticmethod
    def forward(
        ctx: Any,
        executor: CpuExecutor,
        observables: ObservableSet,
        starts: Tensor,
        *stacks: Tensor,
    ) -> Tensor:
        """Return expectation values.

        Args:
            ctx: Holds the arguments for the backward pass.
            executor: The plan.
            observables: What is measured.
            starts: Start states, shape (G, B, n_qubits, 2).
            stacks: Matrices (G, n, D, D), or (G, B, n, D, D) where they differ between samples.

        Returns:
            Shape (G, B, n_obs).
        """
        arguments = _arguments(executor, observables, starts, stacks)
        # These are copies of the tensors, in the kernels' layout: neither sweep needs more.
        ctx.executor, ctx.arguments = executor, arguments
        ctx.shapes = starts.shape, [stack.shape for stack in stacks]
        groups, chunks, _ = arguments[-3].shape
        values = np.zeros((groups, chunks, observables.count * LANES), arguments[-3].dtype)
        run_tasks(
            groups * chunks,
            lambda first, last: run_values(*arguments, values, first, last),
        )
        return _from_lanes(values, starts.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the start states and matrices by the adjoint method."""
        executor: CpuExecutor = ctx.executor
        start_shape, stack_shapes = ctx.shapes
        start_lanes, shared, data = ctx.arguments[-3:]
        groups, chunks, _ = start_lanes.shape
        by_start, by_data = np.empty_like(start_lanes), np.empty_like(data)
        by_shared = np.empty((groups, chunks, shared.shape[1]), shared.dtype)
        cotangents = _to_lanes(cotangent)
        run_tasks(
            groups * chunks,
            lambda first, last: run_gradients(
                *ctx.arguments, cotangents, by_start, by_shared, by_data, first, last
            ),
        )
        samples = start_shape[1]
        # In double precision and in the order of the tasks: the sum does not depend on threads.
        summed = torch.as_tensor(by_shared.sum(axis=1, dtype=np.float64).astype(shared.dtype))
        gradients = _split(executor, stack_shapes, summed, _from_lanes(by_data, samples))
        by_starts = _from_lanes(by_start, samples).reshape(*start_shape, 2)
        return None, None, torch.view_as_complex(by_starts), *gradients


def _arguments(
    executor: CpuExecutor, observables: ObservableSet, starts: Tensor, stacks: Any
) -> tuple[Any, ...]:
    """Return the arguments that both sweeps begin with; the last three are the tensors."""
    groups, samples = starts.shape[:2]
    parts: dict[bool, list[Tensor]] = {False: [], True: []}
    for is_data, stack in zip(executor.data_stacks, stacks, strict=True):
        parts[is_data].append(torch.view_as_real(stack.resolve_conj()).flatten(1 + is_data))
    real = starts.real.dtype
    shared = torch.cat([torch.empty(groups, 0, dtype=real), *parts[False]], dim=-1)
    data = torch.cat([torch.empty(groups, samples, 0, dtype=real), *parts[True]], dim=-1)
    start_lanes = _to_lanes(torch.view_as_real(starts).flatten(2))
    layout = executor.layout
    return (
        executor.tables,
        layout.size,
        layout.final,
        executor.group_size,
        executor.observed(observables, start_lanes.dtype),
        start_lanes,
        shared.contiguous().numpy(),
        _to_lanes(data),
    )


def _to_lanes(tensor: Tensor) -> np.ndarray:
    """Return (G, B, n) as (G, n_chunks, n * LANES), zero where there is no sample."""
    groups, samples, width = tensor.shape
    chunks = -(-samples // LANES)
    if not width:  # torch before 2.8 refuses to pad what is empty
        return tensor.new_empty(groups, chunks, 0).numpy()
    padded = torch.nn.functional.pad(tensor, (0, 0, 0, chunks * LANES - samples))
    lanes = padded.reshape(groups, chunks, LANES, width).mT.reshape(groups, chunks, width * LANES)
    array: np.ndarray = lanes.contiguous().numpy()
    return array


def _from_lanes(array: np.ndarray, samples: int) -> Tensor:
    """Return (G, n_chunks, n * LANES) as (G, B, n)."""
    groups, chunks, width = array.shape
    lanes = torch.as_tensor(array).reshape(groups, chunks, width // LANES, LANES).mT
    return lanes.reshape(groups, chunks * LANES, width // LANES)[:, :samples].contiguous()


def _split(
    executor: CpuExecutor, shapes: Sequence[torch.Size], shared: Tensor, data: Tensor
) -> list[Tensor]:
    """Return the gradient of each stack from coefficients (G, n_shared) and (G, B, n_data)."""
    position = {False: 0, True: 0}
    gradients = []
    for is_data, shape in zip(executor.data_stacks, shapes, strict=True):
        size = 2 * shape[-3:].numel()
        first = position[is_data]
        source = (data if is_data else shared)[..., first : first + size]
        position[is_data] = first + size
        gradients.append(torch.view_as_complex(source.reshape(*shape, 2)))
    return gradients
