"""The kernels that U-Nets need, before there is a U-Net."""

import torch

from qhybrid.models.fused.attention import Distributed, Standardized, Summaries
from qhybrid.models.fused.convolution import Convolution
from qhybrid.models.fused.norm import Activated
from qhybrid_runtime.engine.cpu.lanes import LANES


def compile_kernels() -> None:
    """Compile what computes parts of U-Nets and their gradients, or load it.

    What a step of a training needs first comes first.
    """
    x, weights, channels = torch.ones(1, 8, 4, 4), torch.ones(8, 8), torch.ones(1, 8)
    tokens, context = torch.ones(1, 8, LANES), torch.ones(1, 8, 8)
    parts = (
        (Convolution, (x, torch.ones(8, 8, 3, 3), torch.ones(8))),
        (Activated, (x, channels, channels, 1, 1e-5)),
        (Standardized, (tokens,)),
        (Summaries, (tokens, weights, LANES)),
        (Distributed, (tokens, weights, context, 8)),
    )
    values = []
    for function, arguments in parts:
        given = [
            each.requires_grad_() if isinstance(each, torch.Tensor) else each for each in arguments
        ]
        values.append(function.apply(*given).sum())
    torch.autograd.backward(values)
