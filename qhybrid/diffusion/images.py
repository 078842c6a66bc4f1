"""Drawn images as bytes, as a PNG grid, and as an animation of the denoising."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from qhybrid.diffusion.tiles import tile_sizes
from qhybrid.files import replacing
from qhybrid_circuits.errors import ShapeError

_BORDER_LEVEL = -0.4  # between ink and paper: visible beside black and beside white images
_FRAME_MS, _LAST_FRAME_MS = 80, 1500


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Map float (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C); others are clipped, NaN is 0."""
    levels = images.detach().float().nan_to_num(nan=-1).clamp(-1, 1).add(1).mul(127.5).round()
    pixels: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels.astype(np.uint8)


def save_grid(
    images: Tensor, path: str | Path, *, columns: int | None = None, upscale: int | None = None
) -> None:
    """Save images side by side as a PNG file.

    Args:
        images: (N, C, H, W) in [-1, 1].
        path: The file to write or replace.
        columns: Images in a row; None makes the grid as square as it can be.
        upscale: Pixels a side that each pixel becomes; None enlarges small images to about
            `MIN_TILE_PIXELS`.

    Raises:
        ShapeError: Not a batch of images with 1 or 3 channels.

    Example:
        >>> import torch
        >>> from qhybrid.diffusion.images import save_grid
        >>> save_grid(torch.zeros(4, 1, 8, 8), "grid.png")
    """
    tiles = _tile(images, columns, upscale)
    with replacing(Path(path)) as unfinished:
        tiles.save(unfinished, format="PNG")


def save_gif(
    frames: Sequence[Tensor],
    path: str | Path,
    *,
    columns: int | None = None,
    upscale: int | None = None,
) -> None:
    """Save an animation, one grid a frame, that rests on the last one and repeats.

    Args:
        frames: Each (N, C, H, W) in [-1, 1], e.g. `SampleResult.frames`.
        path: The file to write or replace.
        columns: As in `save_grid`.
        upscale: As in `save_grid`.

    Raises:
        ShapeError: No frames, or frames that are not batches of images.
    """
    if not frames:
        raise ShapeError("Argument `frames` must hold at least one frame; sample with keep > 0")
    first, *rest = [_tile(frame, columns, upscale) for frame in frames]
    with replacing(Path(path)) as unfinished:
        times = [_FRAME_MS] * len(rest) + [_LAST_FRAME_MS]
        first.save(unfinished, "GIF", save_all=True, append_images=rest, duration=times, loop=0)


def _tile(images: Tensor, columns: int | None, upscale: int | None) -> Image.Image:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ShapeError(
            "Argument `images` must have shape (N, C, H, W) with C = 1 or 3, but it has "
            f"{tuple(images.shape)}"
        )
    factor, border = tile_sizes(images.shape[-1], upscale)
    large = images.detach().float().cpu().repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    columns = columns or math.ceil(math.sqrt(len(images)))
    return Image.fromarray(to_uint8(_grid(large, columns, border).unsqueeze(0))[0])


def _grid(images: Tensor, columns: int, border: int) -> Tensor:
    """Return what make_grid of torchvision, which takes a second to load, makes of images."""
    count, _, *size = images.shape
    height, width = (side + border for side in size)
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    grid = torch.full((3, rows * height + border, columns * width + border), _BORDER_LEVEL)
    for number, image in enumerate(images):
        top, left = border + number // columns * height, border + number % columns * width
        grid[:, top : top + size[0], left : left + size[1]] = image
    return grid
