"""Evaluation on a GPU: Triton kernels where they can be, in CUDA graphs."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from qhybrid_circuits.caching import Identity
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import Program
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.engine.torch.recordings import Recordings
from qhybrid_runtime.engine.torch.sweep import KernelSweep, make_kernel_sweep


class GpuExecutor:
    """Evaluates a program in few launches.

    Values are one recording and gradients another. The second computes the final states once more
    from the angles, a quarter of its work: so nothing of a forward pass must be kept in a
    recording's memory until the backward pass, and circuits of one structure share recordings.
    """

    def __init__(
        self,
        program: Program,
        support: Collection[int],
        recordings: Recordings | None = None,
    ) -> None:
        """Plan the evaluation of observables on the qubits in `support`."""
        self.differentiable = TorchExecutor(program, support)
        kernels = make_kernel_sweep(program, support)
        self.sweep: KernelSweep | TorchExecutor = kernels or self.differentiable
        self._recordings = recordings or Recordings()

    def __call__(
        self,
        observables: ObservableSet,
        weight_angles: Tensor,
        data_angles: Tensor,
        codes: Tensor | None,
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        point = (
            (weight_angles, data_angles) if codes is None else (weight_angles, data_angles, codes)
        )
        if torch._C._are_functorch_transforms_active():
            return self.differentiable(observables, weight_angles, data_angles, codes)
        values: Tensor = _Evaluation.apply(self, observables, *point)
        return values

    def values(self, observables: ObservableSet, point: Sequence[Tensor]) -> Tensor:
        """Return the values at angles and, where there are any, error codes."""

        def compute(*point: Tensor) -> list[Tensor]:
            with full_precision():
                return [self.sweep(observables, *_three(point))]

        name = ("values", Identity(observables))
        self._recordings.prepare(name, compute, point)
        return self._recordings.run(name, compute, point)[0]

    def gradients(
        self, observables: ObservableSet, cotangent: Tensor, point: Sequence[Tensor], *, ahead: bool
    ) -> Sequence[Tensor]:
        """Return the gradients of both tables of angles.

        `ahead` of the backward pass they are only recorded, since that runs in a thread of torch's.
        """

        def compute(cotangent: Tensor, *point: Tensor) -> Sequence[Tensor]:
            at = [angles.detach().requires_grad_() for angles in point[:2]]
            with torch.enable_grad(), full_precision():
                values = self.sweep(observables, *_three([*at, *point[2:]]))
                if not values.requires_grad:
                    return [torch.zeros_like(angles) for angles in at]
                return torch.autograd.grad(values, at, cotangent, materialize_grads=True)

        name, tensors = ("gradients", Identity(observables)), (cotangent, *point)
        if ahead:
            self._recordings.prepare(name, compute, tensors)
            return []
        return self._recordings.run(name, compute, tensors)


class _Evaluation(torch.autograd.Function):
    """Expectation values at angles, which can be differentiated as often as one likes."""

    @staticmethod
    def forward(
        ctx: Any, executor: GpuExecutor, observables: ObservableSet, *point: Tensor
    ) -> Tensor:
        values = executor.values(observables, point)
        if any(ctx.needs_input_grad):
            executor.gradients(observables, values, point, ahead=True)
        ctx.executor, ctx.observables = executor, observables
        ctx.save_for_backward(*point)
        return values

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the angles."""
        executor, point = ctx.executor, ctx.saved_tensors
        rest = (None,) * (len(point) - 2)
        if not torch.is_grad_enabled():
            found = executor.gradients(ctx.observables, cotangent, point, ahead=False)
            return (None, None, *found, *rest)
        # They are to be differentiated again: by torch's own rules, from torch operations.
        needed = ctx.needs_input_grad[2:]
        wanted = [each for each, need in zip(point, needed, strict=True) if need]
        values = executor.differentiable(ctx.observables, *_three(point))
        slopes = iter(
            torch.autograd.grad(
                values, wanted, cotangent, create_graph=True, materialize_grads=True
            )
        )
        return (None, None, *(next(slopes) if need else None for need in needed))


def _three(point: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return angles and error codes, None where there are none."""
    weight_angles, data_angles, *codes = point
    return weight_angles, data_angles, codes[0] if codes else None


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 matrices in float32 for the time of a block, whatever the network does.

    TF32 is for the network around the circuit; amplitudes keep their precision.
    """
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 replaced the one by the other, and refuses to read the old one after the new.
    name, exact = ("allow_tf32", False)
    if hasattr(matmul, "fp32_precision"):
        name, exact = ("fp32_precision", "ieee")
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        yield
    finally:
        setattr(matmul, name, before)
