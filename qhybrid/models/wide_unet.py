"""The wide U-Net of Capece's PyTorch report on hybrid diffusion models, around a vertex.

The report names the widths; residual blocks and attention are those of its code: group
normalization with 8 groups before each convolution, attention of 4 heads after each block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.convolution import Conv3x3
from qhybrid.models.image_sizes import level_sizes
from qhybrid.models.rows import HO, VASWANI
from qhybrid.models.time_embedding import SinusoidalEmbedding
from qhybrid.models.unet import ImageUNet
from qhybrid.models.wide_blocks import WideAttention, WideResNetBlock, wide_norm

LAYERS = 2
MOST_WIDENING = 8


def wide_widths(image_size: int, dim: int) -> list[int]:
    """Channels at each size from the image's down to 2x2: 32, 64, 128, 256 at 28 pixels.

    Raises:
        RequestError: The image size has no path to 2x2.
    """
    return [dim * min(2**level, MOST_WIDENING) for level in range(len(level_sizes(image_size)))]


class WideLayers(nn.Module):
    """Residual block and attention, twice, at one size."""

    def __init__(self, in_channels: int, out_channels: int, time_features: int) -> None:
        """Build; the first block leads from `in_channels` to `out_channels`."""
        super().__init__()
        widths = [in_channels, *[out_channels] * (LAYERS - 1)]
        self.blocks = nn.ModuleList(WideResNetBlock(w, out_channels, time_features) for w in widths)
        self.attentions = nn.ModuleList(WideAttention(out_channels) for _ in widths)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C_in, H, W) and time (B, time_features) to (B, C_out, H, W)."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(x, time))
        return x


class WideUNet(ImageUNet):
    """The wide U-Net around a vertex.

    Attributes:
        vertex: The module at the bottleneck, from the last width to the one before it:
            (B, C, 2, 2) and (B, 4 * dim) -> (B, C', 2, 2).
    """

    def __init__(
        self,
        vertex: nn.Module,
        *,
        image_size: int,
        channels: int,
        dim: int,
        released: bool = False,
    ) -> None:
        """Build the levels around the vertex; `released` has the time frequencies of the code.

        Raises:
            RequestError: The image size has no path to 2x2.
        """
        super().__init__(image_size, channels)
        sizes, widths = level_sizes(image_size), wide_widths(image_size, dim)
        levels = range(len(sizes) - 1)
        features = 4 * dim
        self.time = nn.Sequential(
            SinusoidalEmbedding(features, frequencies=VASWANI if released else HO),
            nn.Linear(features, features),
            nn.SiLU(),
            nn.Linear(features, features),
        )
        self.stem = Conv3x3(channels, dim)
        self.encoder = nn.ModuleList(WideLayers(widths[i], widths[i + 1], features) for i in levels)
        # 7 pixels become 2.
        self.downsamples = nn.ModuleList(
            nn.Conv2d(width, width, kernel_size=4, stride=2, padding=0 if size == 7 else 1)
            for width, size in zip(widths[1:], sizes, strict=False)
        )
        self.vertex = vertex
        # The last level leaves the decoder at half of the first width.
        after = [dim // 2, *widths]
        self.upsamples = nn.ModuleList(_upsample(widths[i], sizes[i]) for i in reversed(levels))
        self.decoder = nn.ModuleList(
            WideLayers(2 * widths[i], after[i], features) for i in reversed(levels)
        )
        self.output_norm = wide_norm(dim // 2)
        self.output = Conv3x3(dim // 2, channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict the noise in images x; see `ImageUNet`."""
        self.check(x, time)
        embedded = self.time(time)
        x = self.stem(x)
        skips = []
        for layers, downsample in zip(self.encoder, self.downsamples, strict=True):
            skips.append(x)
            x = downsample(layers(x, embedded))
        x = self.vertex(x, embedded)
        for layers, upsample in zip(self.decoder, self.upsamples, strict=True):
            x = layers(torch.cat([upsample(x), skips.pop()], dim=1), embedded)
        return self.output(F.silu(self.output_norm(x)))  # type: ignore[no-any-return]


def _upsample(channels: int, size: int) -> nn.ConvTranspose2d:
    """Enlarge to `size` pixels a side, from half of it or, at 7, from 2."""
    kernel_size, padding = (5, 0) if size == 7 else (4, 1)
    return nn.ConvTranspose2d(channels, channels, kernel_size, stride=2, padding=padding)
