"""Self-attention over the positions of a feature map."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.fused.when import fits

HEADS = 4
HEAD_FEATURES = 32
COSINE_SCALE = 10.0


class ScaleNorm(nn.Module):
    """Layer normalization with a scale and no bias, over the last axis."""

    def __init__(self, features: int) -> None:
        """Start from scale 1."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x of shape (..., features)."""
        return F.layer_norm(x, self.scale.shape, self.scale)


class _Attention(nn.Module, ABC):
    """What both kinds share: (B, C, H, W) to positions and back, projections, residual."""

    def __init__(self, channels: int) -> None:
        """Build for feature maps of `channels` channels; the projections are 1x1 convolutions."""
        super().__init__()
        self.norm = ScaleNorm(channels)
        self.qkv = nn.Linear(channels, 3 * HEADS * HEAD_FEATURES, bias=False)
        self.output = nn.Linear(HEADS * HEAD_FEATURES, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within x of shape (B, C, H, W) and add the result to it."""
        return x + self.added(x)

    def added(self, x: Tensor) -> Tensor:
        """Return what is added to x, by operations of torch."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        return self.attend(tokens).transpose(1, 2).reshape(x.shape)

    @abstractmethod
    def attend(self, tokens: Tensor) -> Tensor:
        """Map normalized features (B, N, C) of the N positions to (B, N, C)."""


class LinearAttention(_Attention):
    """Attention in O(N): softmax of q over features, of k over positions (Shen et al. 2021).

    q is divided by sqrt(32), v by the number of positions, and a second scale-only layer
    normalization follows the output projection.
    """

    def __init__(self, channels: int) -> None:
        """Build for feature maps of `channels` channels."""
        super().__init__(channels)
        self.output_norm = ScaleNorm(channels)

    def added(self, x: Tensor) -> Tensor:
        """Return what is added to x.

        On the CPU, in single precision, compiled kernels take a third of the time.
        """
        return self._fused(x) if fits(x, self.qkv.weight, half=True) else super().added(x)

    def attend(self, tokens: Tensor) -> Tensor:
        """Attend without ever forming v or the heads' outputs at each position.

        The chain q (k^T (x W_v)) W_o is associative: with C < 128 channels, reading it as
        q ((k^T x) W_v W_o) leaves q and k as the only tensors of size N x 128, which is what
        training memory and time at 28x28 are made of.
        """
        batch, positions, _ = tokens.shape
        to_q, to_k, _ = self.qkv.weight.chunk(3)
        q = F.linear(tokens, to_q).view(batch, positions, HEADS, HEAD_FEATURES).softmax(dim=3)
        k = F.linear(tokens, to_k).softmax(dim=1)
        context = self._context(k.transpose(1, 2) @ tokens, positions)
        return self.output_norm(q.flatten(2) @ context + self.output.bias)  # type: ignore[no-any-return]

    def _context(self, summary: Tensor, positions: int) -> Tensor:
        """Return what each feature of q gives a position, (B, 128, C), from k^T x of that shape."""
        batch, _, channels = summary.shape
        to_v = self.qkv.weight.chunk(3)[2].view(HEADS, HEAD_FEATURES, channels)
        outputs = self.output.weight.view(channels, HEADS, HEAD_FEATURES).permute(1, 2, 0)
        by_head = summary.view(batch, HEADS, HEAD_FEATURES, channels)
        by_head = by_head * (1.0 / (math.sqrt(HEAD_FEATURES) * positions))
        return (by_head @ (to_v.transpose(1, 2) @ outputs)).flatten(1, 2)

    def _fused(self, x: Tensor) -> Tensor:
        """Return what is added to x, by kernels, which keep no tensor of size N x 128 at all.

        The tokens' scale multiplies the columns of the matrices that they are multiplied by.
        """
        # Kernels load numba, for half a second.
        from qhybrid.models.fused.attention import Distributed, Standardized, Summaries, padded

        with torch.autocast("cpu", enabled=False):
            positions, scale = x.shape[2] * x.shape[3], self.norm.scale
            to_q, to_k, _ = (self.qkv.weight * scale).chunk(3)
            tokens = Standardized.apply(padded(x.float().flatten(2)))
            summary = Summaries.apply(tokens, to_k, positions) * scale
            context = self._context(summary, positions)
            given = Distributed.apply(tokens, to_q, context, HEAD_FEATURES)
            given = Standardized.apply(given + self.output.bias[:, None])
            given = given[:, :, :positions] * self.output_norm.scale[:, None]
        return given.reshape(x.shape).to(x.dtype)  # type: ignore[no-any-return]


class VertexAttention(_Attention):
    """Full attention with l2-normalized q and k and logits scaled by 10 (Henry et al. 2020).

    The released code normalizes q and k over the positions instead of over the features
    (`over_positions`).
    """

    def __init__(self, channels: int, over_positions: bool = False) -> None:
        """Build for feature maps of `channels` channels."""
        super().__init__(channels)
        self.normalized_axis = 2 if over_positions else 3

    def attend(self, tokens: Tensor) -> Tensor:
        """Attend with every position to every position."""
        qkv = self.qkv(tokens).view(*tokens.shape[:2], 3, HEADS, HEAD_FEATURES)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q = F.normalize(q, dim=self.normalized_axis)
        k = F.normalize(k, dim=self.normalized_axis)
        heads = F.scaled_dot_product_attention(q, k, v, scale=COSINE_SCALE)
        return self.output(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
