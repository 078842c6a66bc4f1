"""Linear attention in three functions, which keep no scores.

Tokens are (B, C, P), with P positions.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from qhybrid.models.fused import attention_kernels
from qhybrid.models.fused.running import again, run
from qhybrid_runtime.engine.cpu.lanes import LANES

#: What is added to the scores of positions that only fill up a vector.
_OUTSIDE = -1e30


def padded(x: Tensor) -> Tensor:
    """Return x (B, C, N) with as many positions, zero from the N-th on, as vectors hold."""
    return F.pad(x, (0, -x.shape[2] % LANES))


def standardized(x: Tensor) -> Tensor:
    """Return x with mean 0 and variance 1 over the channels: layer normalization, no scale."""
    return F.layer_norm(x.transpose(1, 2), x.shape[1:2]).transpose(1, 2)


def summaries(tokens: Tensor, weights: Tensor, positions: int) -> Tensor:
    """Return tokens averaged with softmaxes over the first `positions` positions, (B, F, C).

    The softmaxes are of the scores weights (F, C) times tokens.
    """
    tokens = tokens[:, :, :positions]
    return (weights @ tokens).softmax(dim=2) @ tokens.transpose(1, 2)


def distributed(tokens: Tensor, weights: Tensor, context: Tensor, head: int) -> Tensor:
    """Return each context's rows (B, F, C) weighted at each position, (B, C, P).

    A row's weight is the softmax, over the `head` features of its head, of weights times tokens.
    """
    scores = (weights @ tokens).view(len(context), -1, head, tokens.shape[2])
    return context.transpose(1, 2) @ scores.softmax(dim=2).flatten(1, 2)


class Standardized(torch.autograd.Function):
    """`standardized` by kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        batch, channels, positions = x.shape
        result, rates = x.new_empty(x.shape), x.new_empty(batch, positions)
        ctx.sizes = channels, positions // LANES
        run(attention_kernels.standardize, batch, x, *ctx.sizes, result, rates)
        ctx.save_for_backward(x, result, rates)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor | None:
        x, result, rates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return again(standardized, (x,), gradients)[0]
        by_x: Tensor = x.new_empty(x.shape)
        kernel = attention_kernels.standardize_back
        run(kernel, len(x), result, rates, *ctx.sizes, gradients[0], by_x)
        return by_x


class Summaries(torch.autograd.Function):
    """`summaries` by kernels."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weights: Tensor, positions: int) -> Tensor:
        batch, channels, padded = tokens.shape
        padding = np.full(padded, _OUTSIDE, np.float32)
        padding[:positions] = 0
        sums = tokens.new_empty(batch, len(weights), channels)
        logarithms = tokens.new_empty(batch, len(weights))
        ctx.rest = padding, channels, positions
        kernel = attention_kernels.summarize
        run(kernel, batch, tokens, weights, padding, channels, sums, logarithms)
        ctx.save_for_backward(tokens, weights, sums, logarithms)
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weights, sums, logarithms = ctx.saved_tensors
        padding, channels, positions = ctx.rest
        if torch.is_grad_enabled():
            operations = partial(summaries, positions=positions)
            return *again(operations, (tokens, weights), gradients), None
        by_tokens, by_weights = tokens.new_zeros(tokens.shape), sums.new_empty(sums.shape)
        kept = (tokens, weights, padding, channels, sums, logarithms)
        found = (gradients[0], by_tokens, by_weights)
        run(attention_kernels.summarize_back, len(tokens), *kept, *found)
        return by_tokens, by_weights.sum(dim=0), None


class Distributed(torch.autograd.Function):
    """`distributed` by kernels."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weights: Tensor, context: Tensor, head: int) -> Tensor:
        batch, channels, positions = tokens.shape
        result = tokens.new_zeros(tokens.shape)
        ctx.sizes = channels, positions, head
        kernel = attention_kernels.distribute
        run(kernel, batch, tokens, weights, context, *ctx.sizes, result)
        ctx.save_for_backward(tokens, weights, context)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tokens, weights, context = ctx.saved_tensors
        if torch.is_grad_enabled():
            operations = partial(distributed, head=ctx.sizes[-1])
            return *again(operations, (tokens, weights, context), gradients), None
        by_tokens = tokens.new_zeros(tokens.shape)
        by_weights, by_context = context.new_empty(context.shape), context.new_empty(context.shape)
        found = (gradients[0], by_tokens, by_weights, by_context)
        kernel = attention_kernels.distribute_back
        run(kernel, len(tokens), tokens, weights, context, *ctx.sizes, *found)
        return by_tokens, by_weights.sum(dim=0), by_context, None
