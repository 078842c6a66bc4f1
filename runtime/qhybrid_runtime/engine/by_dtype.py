from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

from qhybrid_circuits.caching import Cache

T = TypeVar("T")


class ByDtype(Generic[T]):
    """Constants by dtype and torch device, made at their first use."""

    def __init__(self) -> None:
        self._made: Cache[T] = Cache(8)

    def get(self, like: Tensor, make: Callable[[Tensor], T]) -> T:
        """Return the constants for computations with `like`, which `make` is given an equal of."""
        key = (like.dtype, like.device)
        return self._made.get(key, lambda: to_keep(lambda: make(_plain(*key))))


class OnDevice:
    """A constant tensor, copied once to each torch device where it is used.

    A copy from the host at every call would let the host wait for the GPU, and is not allowed while
    a CUDA graph is captured.
    """

    def __init__(self, tensor: Tensor) -> None:
        """Keep a tensor that is in the host's memory and never changes."""
        self.tensor = tensor
        self._copies: Cache[Tensor] = Cache(8)

    def on(self, device: torch.device) -> Tensor:
        """Return the tensor on a device; on the CPU it is the tensor itself."""
        if device.type == "cpu":
            return self.tensor
        return self._copies.get(device, lambda: to_keep(lambda: self.tensor.to(device)))


def _plain(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(0, dtype=dtype, device=device)


def to_keep(make: Callable[[], T]) -> T:
    """Return what `make` makes, for use in later calls too.

    Tensors made in inference mode could not be used in training, and those made inside a transform
    of torch.func not after it. Both are a thread's own, so another one makes them.
    """
    if not torch.is_inference_mode_enabled() and not torch._C._are_functorch_transforms_active():
        return make()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()
