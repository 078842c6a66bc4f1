"""How kernels are called, and their functions differentiated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qhybrid_runtime.engine.cpu.tasks import run_tasks


def run(kernel: Any, count: int, *arguments: Any) -> None:
    """Let threads share `count` images; kernels take arrays of one dimension."""
    flat = [
        each.detach().contiguous().view(-1).numpy() if isinstance(each, Tensor) else each
        for each in arguments
    ]
    run_tasks(count, lambda first, last: kernel(*flat, first, last))


def again(
    function: Callable[..., Tensor], at: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
) -> list[Tensor | None]:
    """Return the gradients by the tensors, with a graph of their own."""
    # One tensor may have been computed from another; a view of each is by itself.
    at = tuple(each.view_as(each) for each in at)
    wanted = [each for each in at if each.requires_grad]
    found = iter(torch.autograd.grad(function(*at), wanted, gradients, create_graph=True))
    return [next(found) if each.requires_grad else None for each in at]
