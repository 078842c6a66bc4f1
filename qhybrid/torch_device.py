"""Choosing between processor and GPU, and how many threads are worth it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from qhybrid_circuits.errors import RequestError


def choose_device(name: str, precision: str = "32") -> str:
    """Turn `auto`, `cpu` or `cuda` into `cpu` or `cuda`.

    Raises:
        RequestError: A GPU was asked for, or a `precision` that only a GPU has, and there is none.
    """
    if precision == "tf32" and (name == "cpu" or not torch.cuda.is_available()):
        raise RequestError(
            "precision 'tf32' is a GPU's, and this run would be on the CPU; use --precision 32 or "
            "bf16"
        )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError(
            "device 'cuda' is not available: torch finds no GPU here; use --device cpu or auto"
        )
    return name


def without_waiting(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host's memory on a torch device.

    A GPU copies it when it comes to that, from memory that the system does not move; the host goes
    on at once.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


#: Images up to this side are so small that starting and joining threads takes longer than what
#: they compute: a step of the U-Net on 32 images of 8x8 takes 37 ms with one thread, 74 with two.
ONE_THREAD_SIZE = 8


@contextmanager
def suitable_threads(device: str, image_size: int) -> Iterator[None]:
    """Let torch use one thread in the block where more would slow it down."""
    before = torch.get_num_threads()
    if device == "cpu" and image_size <= ONE_THREAD_SIZE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
