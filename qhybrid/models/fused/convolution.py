"""3x3 convolutions, by kernels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qhybrid.models.fused import convolution_kernels as kernels
from qhybrid.models.fused.running import again, run

#: Images whose gradients by the weights are added up in one sum, whatever the number of threads.
_OF_A_SUM = 8

#: Numbers of images and gradients that a processor's second cache has room for.
_CACHED = 2**15


def convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the size-keeping 3x3 convolution by torch."""
    return F.conv2d(x, weight, bias, padding=1)


class Convolution(torch.autograd.Function):
    """`convolution` by kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return _convolved(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return tuple(again(convolution, (x, weight, bias), gradients))
        (gradient,) = gradients
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            backwards = weight.transpose(0, 1).flip(2, 3)
            by_x = _convolved(gradient, backwards, weight.new_zeros(len(backwards)))
        if ctx.needs_input_grad[1]:
            by_weight = _by_weight(x, gradient, len(weight))
        if ctx.needs_input_grad[2]:
            by_bias = gradient.sum(dim=(0, 2, 3))
        return by_x, by_weight, by_bias


def _convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    outputs, channels = weight.shape[:2]
    more = -outputs % kernels.BLOCK
    blocks = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, more)).reshape(-1, kernels.BLOCK, channels, 9)
    weights, biases = blocks.permute(0, 2, 3, 1), F.pad(bias, (0, more))
    result = x.new_empty(len(x), outputs, *x.shape[2:])
    sizes = channels, outputs, *x.shape[2:]
    run(kernels.convolve, len(x), x, weights, biases, sizes, result)
    return result


def _by_weight(x: Tensor, gradient: Tensor, outputs: int) -> Tensor:
    _, channels, height, width = x.shape
    sums, even = -(-len(x) // _OF_A_SUM), outputs + outputs % 2
    found = x.new_zeros(sums, even, channels, 3, 3)
    numbers = (channels + even) * height * width
    at_once = min(max(_CACHED // numbers, 1), _OF_A_SUM)
    sizes = channels, outputs, height, width
    run(kernels.convolve_back, sums, x, gradient, sizes, (_OF_A_SUM, at_once), found)
    return found[:, :outputs].sum(dim=0)
