"""The U-Net of De Falco et al. 2024 around a vertex that is passed in."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qhybrid.models.attention import LinearAttention
from qhybrid.models.convolution import Conv1x1, Conv3x3
from qhybrid.models.image_sizes import level_sizes, multipliers
from qhybrid.models.resnet_block import ResNetBlock
from qhybrid.models.time_embedding import TimeEmbedding
from qhybrid_circuits.errors import ShapeError


class ImageUNet(nn.Module):
    """Predicts the noise, shaped as x, in images x (B, channels, image_size, image_size).

    A call takes the diffusion time of each image too, (B,), and raises ShapeError for x or times of
    another shape.

    Attributes:
        image_size: Side of the images in pixels.
        channels: Image channels.
    """

    def __init__(self, image_size: int, channels: int) -> None:
        """Keep the images' shape."""
        super().__init__()
        self.image_size, self.channels = image_size, channels

    def check(self, x: Tensor, time: Tensor) -> None:
        """Refuse images and times of another shape by a ShapeError."""
        check_images(x, time, (self.channels, self.image_size, self.image_size))


class _Level(nn.Module):
    """Two residual blocks, each of which may read a skip too, and linear attention."""

    def __init__(
        self, width: int, time_features: int, resize: nn.Module, skip_width: int = 0
    ) -> None:
        """Build at one width; `resize` leads to the next level or, at the last, out of them."""
        super().__init__()
        self.first = ResNetBlock(width + skip_width, width, time_features)
        self.second = ResNetBlock(width + skip_width, width, time_features)
        self.attention = LinearAttention(width)
        self.resize = resize


class EncoderLevel(_Level):
    """What its blocks give is kept for the decoder."""

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next level's input and the two skips, all of shape (B, C, H, W)."""
        first = self.first(x, time)
        second = self.attention(self.second(first, time))
        return self.resize(second), first, second


class DecoderLevel(_Level):
    """Each block reads a skip of the matching encoder level."""

    def forward(self, x: Tensor, time: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Map x (B, C, H, W) and the encoder level's two skips to the next level's input."""
        x = self.first(torch.cat([x, second], dim=1), time)
        x = self.second(torch.cat([x, first], dim=1), time)
        return self.resize(self.attention(x))  # type: ignore[no-any-return]


class Upsample(nn.Module):
    """Nearest-neighbour enlargement to a given size, then a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        """Build for a target of `size` x `size` pixels."""
        super().__init__()
        self.size = size
        self.conv = Conv3x3(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, C_in, H, W) to (B, C_out, size, size)."""
        enlarged = F.interpolate(x, size=(self.size, self.size), mode="nearest")
        return self.conv(enlarged)  # type: ignore[no-any-return]


class UNet(ImageUNet):
    """The U-Net around a vertex.

    Attributes:
        vertex: The module at the bottleneck, (B, C, 2, 2) and (B, 4 * dim) -> (B, C, 2, 2).
    """

    def __init__(self, vertex: nn.Module, *, image_size: int, channels: int, dim: int) -> None:
        """Build the levels around the vertex, whose width is `dim` times the last multiplier.

        Raises:
            RequestError: The image size has no path to 2x2.
        """
        super().__init__(image_size, channels)
        sizes = level_sizes(image_size)
        widths = [dim * multiplier for multiplier in multipliers(image_size)]
        # A level's own width is reached by the resizing after it, so the encoder lags by one.
        encoder_widths = [dim, *widths[:-1]]
        time_features = 4 * dim

        self.time = TimeEmbedding(dim)
        self.stem = nn.Conv2d(channels, dim, kernel_size=7, padding=3)
        self.encoder = nn.ModuleList(
            EncoderLevel(
                encoder_widths[i], time_features, _leave_encoder(i, encoder_widths, widths, sizes)
            )
            for i in range(len(sizes))
        )
        self.vertex = vertex
        self.decoder = nn.ModuleList(
            DecoderLevel(
                widths[i], time_features, _leave_decoder(i, widths, sizes), encoder_widths[i]
            )
            for i in reversed(range(len(sizes)))
        )
        self.last = ResNetBlock(2 * dim, dim, time_features)
        self.output = Conv1x1(dim, channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict the noise in images x; see `ImageUNet`."""
        self.check(x, time)
        embedded = self.time(time)
        x = stem = self.stem(x)
        skips: list[tuple[Tensor, Tensor]] = []
        for level in self.encoder:
            x, first, second = level(x, embedded)
            skips.append((first, second))
        x = self.vertex(x, embedded)
        for level in self.decoder:
            x = level(x, embedded, *skips.pop())
        x = self.last(torch.cat([x, stem], dim=1), embedded)
        return self.output(x)  # type: ignore[no-any-return]


def check_images(x: Tensor, time: Tensor, expected: tuple[int, int, int]) -> None:
    """Refuse x if it is not (B, C, H, W) of the expected (C, H, W), and times if not (B,).

    Raises:
        ShapeError: x or time has another shape.
    """
    if x.ndim != 4 or x.shape[1:] != expected:
        raise ShapeError(
            f"argument `x` must have shape (B, {', '.join(map(str, expected))}), "
            f"but has {tuple(x.shape)}"
        )
    if time.shape != x.shape[:1]:
        raise ShapeError(
            f"argument `time` must have shape ({len(x)},), one time per image, "
            f"but has {tuple(time.shape)}"
        )


def _leave_encoder(
    level: int, from_widths: list[int], to_widths: list[int], sizes: tuple[int, ...]
) -> nn.Module:
    """From encoder level `level` to the next one, or from the last one to the vertex."""
    if level == len(sizes) - 1:
        return Conv3x3(from_widths[level], to_widths[level])
    kernel_size = 7 if sizes[level] == 7 else 4
    return nn.Conv2d(from_widths[level], to_widths[level], kernel_size, stride=2, padding=1)


def _leave_decoder(level: int, widths: list[int], sizes: tuple[int, ...]) -> nn.Module:
    """From decoder level `level` to the next larger one, or from the largest to the output."""
    if level == 0:
        return Conv3x3(widths[0], widths[0])
    return Upsample(widths[level], widths[level - 1], sizes[level - 1])
