"""Group normalization with SiLU, by kernels."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qhybrid.models.fused import norm_kernels as kernels
from qhybrid.models.fused.running import again, run


def activated(x: Tensor, factors: Tensor, offsets: Tensor, groups: int, epsilon: float) -> Tensor:
    """Return SiLU(factor * normalized x + offset) by torch, of x (B, C, H, W)."""
    normal = F.group_norm(x, groups, eps=epsilon)
    return F.silu(normal * factors[:, :, None, None] + offsets[:, :, None, None])


class Activated(torch.autograd.Function):
    """`activated` by kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, factors: Tensor, offsets: Tensor, groups: int, epsilon: float
    ) -> Tensor:
        batch, channels, height, width = x.shape
        means, rates = x.new_empty(batch, groups), x.new_empty(batch, groups)
        result = x.new_empty(x.shape)
        sizes = channels, groups, height * width
        statistics = epsilon, means, rates
        run(kernels.activate, batch, x, factors, offsets, sizes, *statistics, result)
        ctx.save_for_backward(x, factors, offsets, means, rates)
        ctx.sizes, ctx.epsilon = sizes, epsilon
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, factors, offsets, means, rates = ctx.saved_tensors
        if torch.is_grad_enabled():
            operations = partial(activated, groups=ctx.sizes[1], epsilon=ctx.epsilon)
            return *again(operations, (x, factors, offsets), gradients), None, None
        by_x = x.new_empty(x.shape)
        by_factors, by_offsets = factors.new_empty(factors.shape), factors.new_empty(factors.shape)
        kept = (x, factors, offsets, ctx.sizes, means, rates)
        found = (gradients[0], by_x, by_factors, by_offsets)
        run(kernels.activate_back, len(x), *kept, *found)
        return by_x, by_factors, by_offsets, None, None
