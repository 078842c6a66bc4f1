"""CUDA graphs: a function of tensors is recorded once, and then launched as a whole."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from qhybrid_circuits.caching import Cache

#: A function whose launches depend on shapes alone.
Function = Callable[..., Sequence[Tensor]]

#: Returns how to run a function without arguments again, and where its results are then.
Capture = Callable[[Callable[[], Sequence[Tensor]]], tuple[Callable[[], None], Sequence[Tensor]]]

#: Calls of one shape before it is recorded. Shapes that come once, like a last small batch, are not
#: worth a recording, which takes longer than many calls.
CALLS_BEFORE = 2

#: Recordings of one executor that are kept.
_KEPT = 8


def capture_cuda_graph(
    run: Callable[[], Sequence[Tensor]],
) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """Record what a function launches on the current GPU."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Kernels are compiled and constants copied now: neither can be done during a capture.
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads, such as a data loader's, may go on with what a capture forbids.
    with torch.cuda.graph(graph, pool=_pool(), capture_error_mode="thread_local"):
        results = run()
    return graph.replay, results


@cache
def _pool() -> Any:
    """Return the memory that all recordings share: never do two of them run at a time."""
    return torch.cuda.graph_pool_handle()


def on_current_gpu(tensors: Sequence[Tensor]) -> bool:
    """Return whether a graph can be recorded, or launched, for tensors."""
    if not all(tensor.is_cuda for tensor in tensors) or torch.cuda.is_current_stream_capturing():
        return False
    return all(tensor.device.index == torch.cuda.current_device() for tensor in tensors)


class Recording:
    """A function that was recorded with arguments of one kind, in tensors of its own."""

    def __init__(self, function: Function, examples: Sequence[Tensor], capture: Capture) -> None:
        """Record the function for arguments that differ from the examples in their numbers."""
        # What is written to at every call must not belong to inference mode.
        with torch.inference_mode(False), torch.no_grad():
            self._arguments = [example.detach().clone() for example in examples]
            self._replay, self._results = capture(lambda: function(*self._arguments))

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """Return the function's results, in new tensors."""
        with torch.no_grad():
            for own, given in zip(self._arguments, tensors, strict=True):
                own.copy_(given)
            self._replay()
            return [result.clone() for result in self._results]


@dataclass
class _Entry:
    calls: int = 0
    recording: Recording | None = None


class Recordings:
    """Recordings of functions by what they compute and by the shape, dtype and place of tensors."""

    def __init__(
        self,
        capture: Capture = capture_cuda_graph,
        usable: Callable[[Sequence[Tensor]], bool] = on_current_gpu,
    ) -> None:
        """Record with `capture` where the arguments are `usable`; elsewhere functions just run."""
        self._capture, self._usable = capture, usable
        self._entries: Cache[_Entry] = Cache(_KEPT)

    def run(
        self, name: Hashable, function: Function, tensors: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Return the function's results, by its recording if there is one."""
        if not self._usable(tensors):
            return function(*tensors)
        recording = self._entry(name, tensors).recording
        return function(*tensors) if recording is None else recording(*tensors)

    def prepare(self, name: Hashable, function: Function, tensors: Sequence[Tensor]) -> None:
        """Record the function if it was called often enough; to be called once before each run."""
        if not self._usable(tensors):
            return
        entry = self._entry(name, tensors)
        entry.calls += 1
        if entry.recording is None and entry.calls > CALLS_BEFORE:
            entry.recording = Recording(function, tensors, self._capture)

    def _entry(self, name: Hashable, tensors: Sequence[Tensor]) -> _Entry:
        kinds = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        return self._entries.get((name, kinds), _Entry)
