"""The residual block that every level and the vertex are made of."""

import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.convolution import Conv1x1, WeightStandardizedConv3x3
from qhybrid.models.fused.when import fits

MAX_GROUPS = 10


def group_norm(channels: int, most: int = MAX_GROUPS) -> nn.GroupNorm:
    """Group normalization with 10 groups, or the most under 10 that divide the channels."""
    return nn.GroupNorm(max(g for g in range(1, most + 1) if channels % g == 0), channels)


def activate(norm: nn.GroupNorm, x: Tensor, modulation: Tensor | None = None) -> Tensor:
    """Normalize x (B, C, H, W), multiply by 1 + scale, add shift, and take the SiLU.

    The modulation is scale and shift of each channel, (B, 2 C); None leaves them out.
    """
    if not fits(x, norm.weight):
        normal = norm(x)
        if modulation is not None:
            scale, shift = modulation[:, :, None, None].chunk(2, dim=1)
            normal = normal * (scale + 1) + shift
        return F.silu(normal)
    # Kernels load numba, for half a second.
    from qhybrid.models.fused.norm import Activated

    if modulation is None:
        modulation = x.new_zeros(len(x), 2 * norm.num_channels)
    scale, shift = modulation.chunk(2, dim=1)
    factors, offsets = norm.weight * (scale + 1), norm.bias * (scale + 1) + shift
    return Activated.apply(x, factors, offsets, norm.num_groups, norm.eps)  # type: ignore[no-any-return]


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
        self.first = first or WeightStandardizedConv3x3(in_channels, out_channels)
        self.first_norm = group_norm(out_channels)
        self.time = nn.Linear(time_features, 2 * out_channels)
        self.second = second or WeightStandardizedConv3x3(out_channels, out_channels)
        self.second_norm = group_norm(out_channels)
        same_width = in_channels == out_channels
        self.shortcut = nn.Identity() if same_width else Conv1x1(in_channels, out_channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C_in, H, W) and time (B, time_features) to (B, C_out, H, W)."""
        hidden = self.modulate(self.first(x), time)
        return self.finish(self.second(hidden), x)

    def modulate(self, convolved: Tensor, time: Tensor) -> Tensor:
        """What follows the first convolution: norm, the time's scale and shift, SiLU."""
        return activate(self.first_norm, convolved, self.time(F.silu(time)))

    def finish(self, convolved: Tensor, x: Tensor) -> Tensor:
        """What follows the second convolution: norm, SiLU, and the block's input added."""
        return activate(self.second_norm, convolved) + self.shortcut(x)  # type: ignore[no-any-return]
