"""What the wide U-Net is made of: residual blocks and attention, normalized before they act."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.convolution import Conv1x1, Conv3x3
from qhybrid.models.patch_circuit import PatchCircuit
from qhybrid.models.resnet_block import activate, group_norm

MAX_GROUPS = 8
HEADS = 4
HYBRIDIZATION = 0.1
"""Share of the channels at the vertex that circuits take."""


Convolution = Callable[[int, int], nn.Module]
"""Makes a convolution from so many channels to so many."""


def wide_norm(channels: int) -> nn.GroupNorm:
    """Group normalization with 8 groups, or the most under 8 that divide the channels."""
    return group_norm(channels, MAX_GROUPS)


class WideResNetBlock(nn.Module):
    """Two convolutions, the time added between them, and a 1x1 convolution around them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_features: int,
        convolution: Convolution = Conv3x3,
    ) -> None:
        """Build from `in_channels` to `out_channels` around two convolutions."""
        super().__init__()
        self.first_norm = wide_norm(in_channels)
        self.first = convolution(in_channels, out_channels)
        self.time = nn.Linear(time_features, out_channels)
        self.second_norm = wide_norm(out_channels)
        self.second = convolution(out_channels, out_channels)
        self.shortcut = Conv1x1(in_channels, out_channels)

    def forward(self, x: Tensor, time: Tensor, read: Tensor | None = None) -> Tensor:
        """Map x of shape (B, C_in, H, W) and time (B, time_features) to (B, C_out, H, W).

        The convolutions may `read` something else of the same shape; the shortcut takes x.
        """
        hidden = self.first(activate(self.first_norm, x if read is None else read))
        hidden = hidden + self.time(F.silu(time))[:, :, None, None]
        hidden = self.second(activate(self.second_norm, hidden))
        return hidden + self.shortcut(x)  # type: ignore[no-any-return]


class WideAttention(nn.Module):
    """Full multi-head attention over the positions of a feature map, added to it."""

    def __init__(self, channels: int) -> None:
        """Build for feature maps of `channels` channels, a multiple of the 4 heads."""
        super().__init__()
        self.norm = wide_norm(channels)
        self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within x of shape (B, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return x + attended.transpose(1, 2).reshape(x.shape)  # type: ignore[no-any-return]


class WideVertex(nn.Module):
    """Residual block, attention, residual block; in front of each block, perhaps, a circuit.

    The circuit reads a tenth of a block's input channels, a group after the other, and its outputs
    take their place before the block's convolutions; it replaces none of these, so that they can
    come from a trained classical model. Both blocks share one circuit. Or circuits are in the
    convolutions of the blocks, which are made by `convolution`.

    Attributes:
        circuit: The circuit, or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_features: int,
        circuit: PatchCircuit | None = None,
        convolution: Convolution = Conv3x3,
    ) -> None:
        """Build from `in_channels` to `out_channels`."""
        super().__init__()
        self.first = WideResNetBlock(in_channels, out_channels, time_features, convolution)
        self.attention = WideAttention(out_channels)
        self.second = WideResNetBlock(out_channels, out_channels, time_features, convolution)
        self.circuit = circuit

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C_in, 2, 2) and time (B, time_features) to (B, C_out, 2, 2)."""
        x = self.attention(self.first(x, time, self.measured(x)))
        return self.second(x, time, self.measured(x))  # type: ignore[no-any-return]

    def measured(self, x: Tensor) -> Tensor:
        """x with the circuit's outputs in the place of what it reads, its first channels."""
        if self.circuit is None:
            return x
        share = quantum_channels(x.shape[1], self.circuit.group)
        return torch.cat([self.circuit(x[:, :share]), x[:, share:]], dim=1)


def quantum_channels(channels: int, group: int) -> int:
    """Channels that a circuit takes in groups: 24 of 256 and 12 of 128 for groups of 3."""
    return group * max(1, int(HYBRIDIZATION * channels / group))
