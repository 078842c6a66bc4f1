from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from qhybrid_runtime.checks import check_finite
from qhybrid_runtime.engine.cpu.lanes import LANES
from qhybrid_runtime.engine.cpu.plan import CpuPlan, by_samples, in_chunks
from qhybrid_runtime.engine.cpu.tasks import Tasks, run_gradients, run_values, share_tasks
from qhybrid_runtime.engine.cpu.wide import wide_gradients, wide_values
from qhybrid_runtime.engine.cpu.workspace import Call
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.torch.executor import TorchExecutor

#: Bytes of final states that are kept for the backward sweep. Where they would be more, it computes
#: them anew, so that memory does not grow with the batch.
KEPT_BYTES = 1 << 28

#: Amplitudes of all registers from which on it pays that threads share a task's steps.
WIDE_AMPLITUDES = 1 << 14


class CpuExecutor(CpuPlan):
    """Evaluates a program by compiled sweeps over cache-sized parts of the batch."""

    def __call__(
        self,
        observables: ObservableSet,
        weight_angles: Tensor,
        data_angles: Tensor,
        codes: Tensor | None,
    ) -> Tensor:
        """Return (G, B, n_obs) for angles (G, n_weight_angles) and (G, B, n_data_angles)."""
        return evaluate_together([(self, observables, weight_angles, data_angles, codes)])[0]

    def final_states(
        self,
        observables: ObservableSet,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> np.ndarray:
        """Return the state of each task, (n_tasks, 2 * layout.size * LANES); see `run_values`."""
        ((_, record),) = _evaluate(
            [Point(self, observables, codes, weight_angles, data_angles)], [True], most=np.inf
        )
        return record.kept


#: An executor and what it is called with.
Request = tuple[CpuExecutor, ObservableSet, Tensor, Tensor, Tensor | None]


def evaluate_together(requests: Sequence[Request]) -> list[Tensor]:
    """Return what each executor returns of its arguments; threads share the tasks of all."""
    points, keeps = [], []
    for executor, observables, weight_angles, data_angles, codes in requests:
        executor.check_fits(observables, weight_angles.element_size())
        if codes is None:
            codes = torch.zeros(executor.num_sites, *data_angles.shape[:2], dtype=torch.uint8)
        points.append(Point(executor, observables, codes, weight_angles, data_angles))
        differentiated = weight_angles.requires_grad or data_angles.requires_grad
        keeps.append(torch.is_grad_enabled() and differentiated)
    if torch._C._are_functorch_transforms_active():
        found = zip(points, keeps, strict=True)
        return [MappedSweep.apply(*point[:2], keep, *point[2:])[0] for point, keep in found]
    tensors = (tensor for point in points for tensor in point[2:])
    return list(Sweeps.apply([point[:2] for point in points], keeps, *tensors))


class Point(NamedTuple):
    """What is evaluated, and where."""

    plan: CpuPlan
    observables: ObservableSet
    codes: Tensor  # (n_sites, G, B).
    weight_angles: Tensor  # (G, n_weight_angles).
    data_angles: Tensor  # (G, B, n_data_angles).


@dataclass(frozen=True, eq=False)
class Record:
    """What the backward sweep takes over from the forward one."""

    call: Call
    kept: np.ndarray  # The final state of each task, (n, 2 * size * LANES), or n = 0.

    @classmethod
    def at(cls, point: Point, most: float = 0) -> "Record":
        """Prepare the sweeps of a point, with room for states that take `most` bytes or less."""
        call = point.plan.prepare(*point[1:])
        shape, dtype = (_num_tasks(call), 2 * call.layout.size * LANES), call.numbers.cos.dtype
        fits = shape[0] * shape[1] * dtype.itemsize <= most
        return cls(call, np.empty(shape if fits else (0, shape[1]), dtype))


def _num_tasks(call: Call) -> int:
    _, groups, lanes = call.numbers.codes.shape
    return int(groups * lanes // LANES)


def _evaluate(
    points: Sequence[Point], keeps: Sequence[bool], most: float | None = None
) -> list[tuple[Tensor, Record]]:
    """Return the values (G, B, n_obs) of each point, and what its gradients take over.

    Final states are kept where a point `keeps` them, and they take at most so many bytes.
    """
    most = KEPT_BYTES if most is None else most
    records, given = [], []
    for point, keep in zip(points, keeps, strict=True):
        record = Record.at(point, most if keep else 0)
        numbers = record.call.numbers
        shape = (point.observables.count, *numbers.codes.shape[1:])
        given.append((record.call, record.kept, np.empty(shape, numbers.cos.dtype)))
        records.append(record)
    _share(points, run_values, wide_values, given)
    return [
        (torch.from_numpy(by_samples(values, point.data_angles.shape[1])), record)
        for point, record, (_, _, values) in zip(points, records, given, strict=True)
    ]


def _find_gradients(
    points: Sequence[Point], records: Sequence[Record], cotangents: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Return the gradients of each point by its angles, for cotangents (G, B, n_obs)."""
    given = []
    for record, cotangent in zip(records, cotangents, strict=True):
        shared_cos, _, cos, _, codes = record.call.numbers
        _, groups, lanes = codes.shape
        by_shared = np.empty((2 * len(shared_cos), groups, lanes // LANES), cos.dtype)
        by_differing = np.empty((2 * len(cos), groups, lanes), cos.dtype)
        along = in_chunks(cotangent.detach().numpy().transpose(2, 0, 1), lanes // LANES)
        given.append((record.call, record.kept, along, by_shared, by_differing))
    _share(points, run_gradients, wide_gradients, given)
    return [
        _by_angles(point, record, *found[3:])
        for point, record, found in zip(points, records, given, strict=True)
    ]


def _share(
    points: Sequence[Point], run: Any, run_wide: Any, given: Sequence[tuple[Any, ...]]
) -> None:
    """Let all threads share the tasks of all points, or the steps of tasks with large states."""
    counts = [_num_tasks(call) for call, *_ in given]
    shared = []
    for point, count, arguments in zip(points, counts, given, strict=True):
        if sum(counts) < torch.get_num_threads() and point.plan.layout.size >= WIDE_AMPLITUDES:
            run_wide(*arguments)
        else:
            shared.append(Tasks(count, point.plan.work, partial(run, *arguments)))
    share_tasks(shared)


def _by_angles(
    point: Point, record: Record, by_shared: np.ndarray, by_differing: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return gradients by angles of those by waves; see `tasks.run_gradients`."""
    shared_cos, shared_sin, cos, sin, _ = record.call.numbers
    _, samples, num_data_angles = point.data_angles.shape
    recipe = point.plan.recipe
    # In double precision and in the order of the tasks: the sum does not depend on threads.
    summed = by_shared.sum(axis=2, dtype=np.float64).astype(cos.dtype)
    weight_waves, data_waves = recipe.waves
    by_turns = _by_turns(summed, shared_cos, shared_sin)
    by_weights = weight_waves.pull_back(by_turns, point.weight_angles.shape[1])
    waves = data_waves.count
    by_turns = _by_turns(by_differing[: 2 * waves], cos[:waves], sin[:waves])
    by_data = data_waves.pull_back(by_turns, num_data_angles)
    recipe.pull_back_amplitudes(by_differing[2 * waves :], by_data)
    gradients = by_weights.T.copy(), by_samples(by_data, samples)
    return torch.from_numpy(gradients[0]), torch.from_numpy(gradients[1])


class MappedSweep(torch.autograd.Function):
    """Expectation values of a program at given angles, inside of torch.func.

    Trigonometry is numpy's and everything after it the kernels': torch's threads, once awake, hold
    on to the processors that the kernels need.
    """

    @staticmethod
    def forward(
        plan: CpuPlan,
        observables: ObservableSet,
        keeps: bool,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
    ) -> tuple[Tensor, Record]:
        """Return what a `CpuExecutor` returns, and what it `keeps` for the gradients."""
        point = Point(plan, observables, codes, weight_angles, data_angles)
        return _evaluate([point], [keeps])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Record]) -> None:
        ctx.plan, ctx.observables, _, *tensors = inputs
        ctx.record = output[1]
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the angles by the adjoint method."""
        point = (*ctx.saved_tensors, cotangent)
        found = SweepGradient.apply(ctx.plan, ctx.observables, ctx.record, *point)
        return (*[None] * 4, *found)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], plan: CpuPlan, *others: Any
    ) -> tuple[tuple[Tensor, None], tuple[int, None]]:
        """Evaluate all of a mapped axis as further weight sets."""
        check_finite("angles", others[-1])
        folded = _folded(info.batch_size, in_dims[3:], others[2:])
        values, _ = MappedSweep.apply(plan, others[0], False, *folded)
        return (values.unflatten(0, (info.batch_size, -1)), None), (0, None)


class Sweeps(torch.autograd.Function):
    """Expectation values of several programs, each at its angles, outside of torch.func."""

    @staticmethod
    def forward(
        ctx: Any,
        evaluated: Sequence[tuple[CpuPlan, ObservableSet]],
        keeps: Sequence[bool],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the values of each program; of each come codes, and angles of both kinds."""
        ctx.evaluated = evaluated
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        found = _evaluate(_points(evaluated, tensors), keeps)
        ctx.records = [record for _, record in found]
        of_constants = (values for (values, _), keep in zip(found, keeps, strict=True) if not keep)
        ctx.mark_non_differentiable(*of_constants)
        return tuple(values for values, _ in found)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the angles by the adjoint method."""
        gradients: list[Tensor | None] = [None] * len(ctx.saved_tensors)
        asked = [number for number, each in enumerate(cotangents) if each is not None]
        points = _points(ctx.evaluated, ctx.saved_tensors)
        asked_of = [points[n] for n in asked], [ctx.records[n] for n in asked]
        along = [each for each in cotangents if each is not None]
        # Gradients are on where these are differentiated again.
        find = _differentiable_gradients if torch.is_grad_enabled() else _find_gradients
        for number, found in zip(asked, find(*asked_of, along), strict=True):
            gradients[3 * number + 1 : 3 * number + 3] = found
        return (None, None, *gradients)


def _points(
    evaluated: Sequence[tuple[CpuPlan, ObservableSet]], tensors: Sequence[Tensor]
) -> list[Point]:
    """Return where each program is evaluated; see `Sweeps`."""
    return [
        Point(*fixed, *tensors[3 * number : 3 * number + 3])
        for number, fixed in enumerate(evaluated)
    ]


class SweepGradient(torch.autograd.Function):
    """Gradients of the values by angles, (G, n_weight_angles) and (G, B, n_data_angles).

    They come from the kernels, and their own derivatives from torch operations.
    """

    @staticmethod
    def forward(
        plan: CpuPlan,
        observables: ObservableSet,
        record: Record | None,
        codes: Tensor,
        weight_angles: Tensor,
        data_angles: Tensor,
        cotangent: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients for cotangents (G, B, n_obs)."""
        point = Point(plan, observables, codes, weight_angles, data_angles)
        return _find_gradients([point], [record or Record.at(point)], [cotangent])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.plan, ctx.observables, _, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives along the gradients' cotangents, by torch's own rules."""
        codes, *point = ctx.saved_tensors
        values_at: TorchExecutor = ctx.plan.differentiable

        def gradients(*point: Tensor) -> tuple[Tensor, ...]:
            def values(weight_angles: Tensor, data_angles: Tensor) -> Tensor:
                return values_at(ctx.observables, weight_angles, data_angles, codes)

            found: tuple[Tensor, ...] = torch.func.vjp(values, *point[:2])[1](point[2])
            return found

        return (*[None] * 4, *torch.func.vjp(gradients, *point)[1](along))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], plan: CpuPlan, *others: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Evaluate all of a mapped axis as further weight sets."""
        folded = _folded(info.batch_size, in_dims[3:], others[2:])
        found = SweepGradient.apply(plan, others[0], None, *folded)
        return tuple(each.unflatten(0, (info.batch_size, -1)) for each in found), (0, 0)


def _differentiable_gradients(
    points: Sequence[Point], records: Sequence[Record], cotangents: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Return what `_find_gradients` returns, each with a graph of its own."""
    return [
        SweepGradient.apply(*point[:2], record, *point[2:], cotangent)
        for point, record, cotangent in zip(points, records, cotangents, strict=True)
    ]


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


def _by_turns(by_waves: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Return the gradient by exponents t of one by real and imaginary parts of exp(it)."""
    gradient: np.ndarray = by_waves[1::2] * cos - by_waves[::2] * sin
    return gradient
