from collections.abc import Callable
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
        """Return the constants for computations with `like`, which `make` is given."""
        key = (like.dtype, like.device)
        return self._made.get(key, lambda: outside_inference(lambda: make(like)))


def outside_inference(make: Callable[[], T]) -> T:
    """Return what `make` makes: made in inference mode, it could not be used in training later."""
    with torch.inference_mode(False):
        return make()
