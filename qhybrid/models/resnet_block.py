"""The residual block that every level and the vertex are made of."""

import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.convolution import standardized_conv3x3

MAX_GROUPS = 10


def group_norm(channels: int, most: int = MAX_GROUPS) -> nn.GroupNorm:
    """Group normalization with 10 groups, or the most under 10 that divide the channels."""
    return nn.GroupNorm(max(g for g in range(1, most + 1) if channels % g == 0), channels)


class ResNetBlock(nn.Module):
    """Two convolutions, the time's scale and shift between them, and a shortcut around them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_features: int,
        *,
        first: nn.Module | None = None,
        second: nn.Module | None = None,
    ) -> None:
        """Build the block around two modules that keep the size.

        `first` leads to `out_channels`, `second` keeps them; both are weight-standardized 3x3
        convolutions by default.
        """
        super().__init__()
        self.first = first or standardized_conv3x3(in_channels, out_channels)
        self.first_norm = group_norm(out_channels)
        self.time = nn.Linear(time_features, 2 * out_channels)
        self.second = second or standardized_conv3x3(out_channels, out_channels)
        self.second_norm = group_norm(out_channels)
        same_width = in_channels == out_channels
        self.shortcut = nn.Identity() if same_width else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C_in, H, W) and time (B, time_features) to (B, C_out, H, W)."""
        hidden = self.modulate(self.first(x), time)
        return self.finish(self.second(hidden), x)

    def modulate(self, convolved: Tensor, time: Tensor) -> Tensor:
        """What follows the first convolution: norm, the time's scale and shift, SiLU."""
        scale, shift = self.time(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        return F.silu(self.first_norm(convolved) * (scale + 1) + shift)

    def finish(self, convolved: Tensor, x: Tensor) -> Tensor:
        """What follows the second convolution: norm, SiLU, and the block's input added."""
        return F.silu(self.second_norm(convolved)) + self.shortcut(x)  # type: ignore[no-any-return]
