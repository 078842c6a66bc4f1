"""The light U-Net of Chen et al. 2025, with or without quantum attention at its bottleneck.

The paper names the layers (section IV.C); kernel sizes, activations and the place of the skip are
those of its authors' code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.convolution import Conv3x3
from qhybrid.models.rows import HO
from qhybrid.models.time_embedding import SinusoidalEmbedding
from qhybrid.models.unet import ImageUNet


class LightResNetBlock(nn.Module):
    """Two 3x3 convolutions around a ReLU, added to the input."""

    def __init__(self, channels: int) -> None:
        """Build at one width."""
        super().__init__()
        self.first = Conv3x3(channels, channels)
        self.second = Conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, C, H, W) to the same shape, at least 0."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class LightUNet(ImageUNet):
    """The light U-Net, for images whose side is a multiple of 4.

    Attributes:
        attention: Weighs the bottleneck's channels, (B, 4 * dim, H / 4, W / 4) to the same shape;
            None leaves them as they are, as in the paper's classical model.
    """

    def __init__(
        self,
        attention: nn.Module | None,
        *,
        image_size: int,
        channels: int,
        dim: int,
        frequencies: str = HO,
    ) -> None:
        """Build from `dim` channels at the image's size to `4 * dim` at a quarter of it.

        The frequencies of the time embedding are one of `qhybrid.models.rows.FREQUENCIES`.
        """
        super().__init__(image_size, channels)
        width = 4 * dim
        self.stem = Conv3x3(channels, dim)
        self.downsamples = nn.ModuleList(
            nn.Conv2d(wide, 2 * wide, kernel_size=3, stride=2, padding=1) for wide in (dim, 2 * dim)
        )
        embedding = SinusoidalEmbedding(width, frequencies=frequencies)
        self.time = nn.Sequential(embedding, nn.Linear(width, width))
        self.block = LightResNetBlock(width)
        self.attention = attention
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(2 * wide, wide, kernel_size=2, stride=2) for wide in (2 * dim, dim)
        )
        self.output = Conv3x3(2 * dim, channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict the noise in images x; see `ImageUNet`."""
        self.check(x, time)
        x = skip = F.relu(self.stem(x))
        for downsample in self.downsamples:
            x = F.relu(downsample(x))
        x = self.block(x + self.time(time)[:, :, None, None])
        if self.attention is not None:
            x = self.attention(x)
        for upsample in self.upsamples:
            x = F.relu(upsample(x))
        return self.output(torch.cat([x, skip], dim=1))  # type: ignore[no-any-return]
