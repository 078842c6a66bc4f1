"""What a GPU would be asked to do, counted on torch device "meta", where nothing is computed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime.engine.expectations import Executor
from qhybrid_runtime.engine.observables import ObservableSet
from qhybrid_runtime.engine.program import compile_program
from qhybrid_runtime.engine.torch import sweep
from qhybrid_runtime.engine.torch.executor import TorchExecutor
from qhybrid_runtime.engine.torch.gpu import GpuExecutor
from qhybrid_runtime.engine.torch.recordings import CALLS_BEFORE, Recordings

#: Bytes a second that the memory of an H100 (SXM) moves, by its data sheet.
H100_BYTES_A_SECOND = 3.35e12

HEADER = (
    "HQConv, value + VJP",
    "launches by the host",
    "copies from the host",
    "memory traffic",
    "of an H100's time",
)

#: Operations that launch nothing: views, and memory that is only taken.
_FREE = {"empty", "empty_like", "new_empty", "detach", "_unsafe_view", "lift_fresh", "resolve_conj"}


class Counter(TorchDispatchMode):
    """Counts launches, copies from the host's memory, and bytes that are read or written."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.copies = self.bytes = 0
        self._recorded = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or func._opname in _FREE:
            return result
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        found = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        if any(each.device.type == "meta" for each in found):
            self.launches += not self._recorded
            self.copies += any(each.device.type == "cpu" and each.dim() for each in given)
            self.bytes += sum(each.numel() * each.element_size() for each in (*given, *found))
        return result

    def kernel(self, _: Any, name: str, samples: int, *tensors: Any) -> None:
        """Stand for the launch of a kernel, which writes the co-states that it reads."""
        read = [each for each in tree_leaves(tensors) if isinstance(each, Tensor)]
        self.launches += not self._recorded
        self.bytes += sum(each.numel() * each.element_size() for each in read)

    def capture(
        self, run: Callable[[], Sequence[Tensor]]
    ) -> tuple[Callable[[], None], Sequence[Tensor]]:
        """Stand for a CUDA graph, whose launches are one."""

        def replay() -> None:
            self.launches += 1
            self._recorded = True
            run()
            self._recorded = False

        return replay, run()


def lines(*batches: int) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table for batches of HQConv."""
    for batch in batches:
        for name in ("torch operations", "kernels", "kernels in CUDA graphs"):
            counted = count(batch, kernels=name != "torch operations", graphs="graphs" in name)
            yield (
                f"batch {batch:,}, {name}",
                str(counted.launches),
                str(counted.copies),
                f"{counted.bytes / 1e6:,.0f} MB",
                f"{counted.bytes / H100_BYTES_A_SECOND * 1e3:.2f} ms",
            )


def count(batch: int, *, kernels: bool, graphs: bool) -> Counter:
    """Count what HQConv's value and vector-Jacobian product take once all is compiled."""
    variational, counter = hqconv(), Counter()
    program = compile_program(variational)
    observables = ObservableSet(variational.observables, program.num_qubits)
    shapes = ((1, batch, program.num_inputs), (1, program.num_weights))
    at = [torch.empty(shape, device="meta", requires_grad=True) for shape in shapes]
    recorded = Recordings(counter.capture, usable=lambda tensors: graphs)
    with (
        patch.object(sweep, "_kernels_run", lambda: True),
        patch.object(sweep.KernelSweep, "launch", counter.kernel),
    ):
        executor: Executor = TorchExecutor(program, observables.support)
        if kernels:
            executor = GpuExecutor(program, observables.support, recorded)

        def call() -> None:
            values = executor(observables, *program.angles(*at), None)
            torch.autograd.grad(values, at, torch.empty_like(values))

        for _ in range(CALLS_BEFORE + 1):
            call()
        counter.launches = counter.copies = counter.bytes = 0
        with counter:
            call()
    return counter
